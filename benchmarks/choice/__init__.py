"""What choosing brings: best_of against one keyframe, and a search against random trials."""

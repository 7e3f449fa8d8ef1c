"""What a run computes, a folder a step: text, picture, control, motion, delivery."""

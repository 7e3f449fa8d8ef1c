"""What is measured of frames, and the scores that follow."""

"""Networks that finish frames: in-between frames, larger frames."""

"""The delivered MP4: container, stream, timing and frames."""

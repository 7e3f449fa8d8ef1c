"""Checkpoints in one file and pickles, converted once."""

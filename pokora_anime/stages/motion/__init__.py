"""Segments: the denoising loop, chaining, reference attention, the second pass."""

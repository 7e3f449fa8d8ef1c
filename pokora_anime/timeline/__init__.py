"""The arithmetic of a clip: which frames are generated, denoised together, delivered. Torch-free."""

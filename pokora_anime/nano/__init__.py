"""The nano family: a small SDXL-shaped set of models trained on pictures drawn by this package."""

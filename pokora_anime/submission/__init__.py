"""The submission bundle: chosen runs, write-up, poster, source and proof in one archive. Torch-free."""

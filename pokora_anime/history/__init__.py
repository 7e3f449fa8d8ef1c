"""Finished runs and their files, found again and read for what made them. Nothing here decodes a picture."""

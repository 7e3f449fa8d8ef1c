"""Captions for pictures that have none, by a tagger that the user names."""

"""Weights fetched from the hub, and what is left of earlier ones. Torch-free."""

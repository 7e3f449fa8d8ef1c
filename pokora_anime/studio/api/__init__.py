"""The API: an address a function, JSON in and out. Torch-free."""

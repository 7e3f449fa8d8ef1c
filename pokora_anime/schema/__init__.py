"""Settings with their types, the groups that offer them, and what a config is called. Torch-free."""

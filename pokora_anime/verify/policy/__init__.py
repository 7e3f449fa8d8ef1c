"""Policy: every node did what the config says, with registered weights and its own noise."""

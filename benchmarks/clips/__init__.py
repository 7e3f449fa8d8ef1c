"""Chaining strategies on the same prompts: `pokora bench clips`."""

"""The members of the nano family, each with what it learns from."""

"""The seven places that are drawn behind the character."""

"""Commands for finished runs: list, show, open, render again."""

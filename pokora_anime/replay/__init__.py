"""Replay: nodes of a finished run computed again from their stored parents, and compared."""

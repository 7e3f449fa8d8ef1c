"""Segments of a clip: chained, made again where a join fails, enlarged by a second pass."""

"""Benchmarks of this project: from a checkout alone, they are not part of the installed package."""

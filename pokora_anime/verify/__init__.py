"""Verification: whether a run's record holds and keeps to the rules. Torch-free; trusts nothing."""

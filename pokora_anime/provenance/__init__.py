"""Hashes, nodes, the ledger and the folder of a run: what was made from what. Torch-free."""

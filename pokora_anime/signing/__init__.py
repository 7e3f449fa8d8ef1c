"""Signatures: the key that signs, and the statement about a run that is signed. Torch-free."""

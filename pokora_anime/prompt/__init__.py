"""What a prompt says: syntax, tags, chunks, choices, words that are known. Torch-free."""

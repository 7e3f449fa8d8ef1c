"""The prompt as embeddings."""

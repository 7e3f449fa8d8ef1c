"""LoRA files, read exactly or refused, and merged into networks."""

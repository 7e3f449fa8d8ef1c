"""What a trained LoRA does, measured before it is registered."""

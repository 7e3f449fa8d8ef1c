"""Blends of style LoRAs, negative prompts, and the search for better ones on the score."""

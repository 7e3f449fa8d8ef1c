"""From latents to the delivered MP4."""

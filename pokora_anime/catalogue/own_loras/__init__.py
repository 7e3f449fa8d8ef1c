"""LoRAs of one's own beside each other: versions, aliases, likeness, and the files that blends name."""

"""Commands of the workshop: data sets, LoRAs of one's own."""

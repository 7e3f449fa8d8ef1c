"""Control maps, where they come from, and the networks that follow them."""

"""What computes a live clip, in a process that is confined: looks, segments, and the loop around them."""

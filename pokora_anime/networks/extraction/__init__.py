"""Networks that read poses, depth and lines out of a picture that the base drew."""

"""A user's own sounds: read once, kept with licence and source, reduced to a curve that moves a clip."""

"""This package's loop against diffusers' own pipeline on a card: `pokora bench gpu`."""

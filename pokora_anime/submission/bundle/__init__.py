"""The files of a bundle: written, listed, sealed."""

"""One module per command of `pokora`."""

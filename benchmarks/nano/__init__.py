"""What the nano family promises, measured: `pokora bench nano`."""

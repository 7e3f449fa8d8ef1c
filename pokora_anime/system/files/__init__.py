"""Files and folders: written whole, locked, found; free space."""

"""The gallery: runs as a page to look at, compare and choose from, and as a table."""

"""`pokora bench live`: frames a second, the wait for a typed action, gaps and memory of a live clip."""

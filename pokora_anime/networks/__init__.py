"""Networks of a run: loaded, held and freed."""

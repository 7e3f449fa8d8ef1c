"""The weights that exist: rows, licences, hashes, places, what a composition needs. Torch-free."""

"""Commands for weights: fetch, add, train."""

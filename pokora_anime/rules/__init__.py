"""Rules as pure functions: strings, typed words, closed types, weights, a contest's numbers. Torch-free."""

"""Live: an endless clip that follows what is typed; input, generation and display each in a loop of its own."""

"""An endless clip that follows what is typed; input, generation and display are loops of their own."""

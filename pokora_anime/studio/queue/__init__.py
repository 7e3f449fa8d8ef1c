"""The queue: jobs on disk, what works them off, and what is told meanwhile. Torch-free."""

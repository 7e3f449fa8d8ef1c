"""What confines a process: Landlock, seccomp, the environment. Knows nothing of rendering. Torch-free."""

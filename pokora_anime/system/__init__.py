"""What every room may use of the operating system: files, processes, Ctrl-C, the terminal. Torch-free."""

"""What is shown when: the clock of the display, the frames that wait, and those between them. Torch-free."""

"""What changes over a clip: timelines and lists of shots, read from files and checked. Torch-free."""

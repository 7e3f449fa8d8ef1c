"""What a run will take of a machine: memory, time, disk, money. Torch-free."""

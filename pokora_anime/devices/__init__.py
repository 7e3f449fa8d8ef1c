"""What a run's networks need and how a machine can hold them."""

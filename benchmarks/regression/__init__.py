"""CPU-seconds of this commit against those of another one, paired in one run."""

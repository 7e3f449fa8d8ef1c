"""What a person at a terminal sees and presses: progress, lines of jobs, Ctrl-C."""

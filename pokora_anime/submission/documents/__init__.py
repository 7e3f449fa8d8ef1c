"""Write-up and poster: what they show, and how they are set."""

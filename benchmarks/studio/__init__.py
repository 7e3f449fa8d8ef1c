"""How the studio answers, starts and survives, measured on this machine."""

"""`python -m pokora_anime.cli`: the same as `pokora`."""

from pokora_anime.cli import console

console()

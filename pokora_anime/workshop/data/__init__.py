"""Data sets of drawings: read, judged, kept in versions, told on a card. Torch-free.

The one place of the tool that reads pictures from outside. Nothing that is rendered sees them: what a
training makes of them is weights, which are registered with licence and data card.
"""

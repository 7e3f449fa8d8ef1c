"""Commands that render, or say what would be rendered."""

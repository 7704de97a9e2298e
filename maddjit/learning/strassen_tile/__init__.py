"""From B, and rows to fit to, to a Strassen-Tile model."""

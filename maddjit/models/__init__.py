"""Models: frozen, checked records of what was learned, and their files."""

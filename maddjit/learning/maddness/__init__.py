"""From sample rows and B to a MADDNESS model: trees, prototypes, tables."""

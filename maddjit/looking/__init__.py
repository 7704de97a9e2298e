"""Shows models and code to people: figures, and assembly cut into stages."""

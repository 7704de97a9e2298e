"""Models and code for people to look at: figures, and assembly cut into stages."""

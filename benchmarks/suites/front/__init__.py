"""The plot of the README: error against speed, at each level of this machine."""

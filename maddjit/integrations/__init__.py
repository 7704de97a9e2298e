"""Use maddjit from other libraries: one package or module each, with an extra of the same name."""

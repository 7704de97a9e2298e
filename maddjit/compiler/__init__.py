"""The stages from a model to machine code: target → plan → render → native."""

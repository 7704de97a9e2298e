"""Operators for C programs: written, linked, and loaded back."""

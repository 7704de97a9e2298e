"""Everyday costs: what every process and every call pays beside the kernel."""

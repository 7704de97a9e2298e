"""Benchmarks of maddjit. See `benchmarks/README.md` for the rooms and how to run them."""

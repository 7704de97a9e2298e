"""The callables that users hold, and what stands between an array and a compiled kernel."""

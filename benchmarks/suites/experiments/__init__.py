"""The experiments of the MADDNESS paper on real tasks: every method, its error and its time."""

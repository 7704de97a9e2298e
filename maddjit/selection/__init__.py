"""Selection: the fastest way to a product within an error budget, timed on this machine."""

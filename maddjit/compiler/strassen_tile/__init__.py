"""The plan of a Strassen-Tile kernel: blocking, straight-line code, and V as kernels read it."""

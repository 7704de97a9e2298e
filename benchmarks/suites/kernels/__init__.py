"""Kernels one by one: each kind of call beside a peer, and time per row over the number of rows."""

"""Whole networks: where their planes lie, and which kernels run over them."""

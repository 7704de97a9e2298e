"""Exact winners: agreement, coverage and time against float32, 8 bits and faiss."""

"""Strassen-Tile learner: from B, and rows to fit to, to a bilinear scheme with B encoded."""

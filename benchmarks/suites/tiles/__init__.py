"""Strassen-Tile operators measured: products of many shapes, and layers they could replace."""

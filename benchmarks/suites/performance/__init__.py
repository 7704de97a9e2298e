"""Operators against every other way to the same product, and where their time goes."""

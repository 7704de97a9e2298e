"""Schemes of few multiplications, searched for: what makes maddjit/models/factors/tile4.npz."""

"""The search for schemes of few multiplications. It makes maddjit/models/factors/tile4.npz."""

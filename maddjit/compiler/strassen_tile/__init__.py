"""The compiler of Strassen-Tile models: the planner, its plan, straight-line code, packed V."""

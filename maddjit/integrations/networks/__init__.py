"""From trained networks of other libraries to `Network`: graphs, calibration and budgets."""

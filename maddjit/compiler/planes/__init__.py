"""Moving planes between arrays and frames: sizes of a call, plans, requests."""

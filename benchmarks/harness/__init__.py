"""What every benchmark shares: timing in turns, machine facts, targets, pages, the command line."""

"""What was learned: frozen, checked records, and how they are kept on disk."""

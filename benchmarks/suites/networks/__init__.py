"""Vision transformers whose linear layers multiply by tiles, trained beside others."""

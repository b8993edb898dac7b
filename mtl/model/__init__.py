"""The encoder on packed tokens, with heads, pairing and freezing."""

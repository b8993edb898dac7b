"""The multi-task model: an encoder on packed tokens, freezing, pairing and heads."""

"""The built-in data, generated from a grammar."""

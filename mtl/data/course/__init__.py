"""Readers of the CS224N default project files."""

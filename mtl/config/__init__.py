"""Builds a validated run configuration from words and files, and names it by its content."""

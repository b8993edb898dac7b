"""The commands: one file a verb; each parses, calls and prints."""

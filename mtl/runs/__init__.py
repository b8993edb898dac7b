"""A run on disk: its folder, record, checkpoint and checks."""

"""Weights & Biases, and a tracker that does nothing."""

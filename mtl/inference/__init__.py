"""Predictions from a model, trained runs loaded again, and export."""

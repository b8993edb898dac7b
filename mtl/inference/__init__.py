"""Predictions of a model, loading trained runs, and export."""

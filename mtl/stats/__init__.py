"""Differences with intervals, verdicts and effects. No torch."""

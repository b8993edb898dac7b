"""Statistics of runs: differences with intervals, verdicts, effects. No torch."""

"""A cache of the frozen layers' outputs: each distinct sequence is computed once for all runs."""

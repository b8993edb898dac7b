"""Readers of tasks' own data: CSV, TSV, JSON lines, Parquet, and data sets on the hub."""

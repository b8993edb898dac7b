"""Data: course files, the Hugging Face hub, the built-in sample, checks, tokens, schedules."""

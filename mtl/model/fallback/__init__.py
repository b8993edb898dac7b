"""Encoders that the packed encoder does not compute, through `transformers`."""

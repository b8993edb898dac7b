"""Runs on a pool of workers: what ablations and studies share."""

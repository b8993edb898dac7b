"""The engine of `mtl ablate`: from a question to the runs that answer it.

It receives `train` as an argument and never imports it.
"""

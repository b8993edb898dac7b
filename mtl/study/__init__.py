"""The engine of `mtl study`: a space of settings, a search over it, and its results."""

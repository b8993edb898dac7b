"""Training methods, one file each; `mtl.methods.registry` finds them by name."""

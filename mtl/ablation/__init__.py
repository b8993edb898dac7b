"""The engine behind `mtl ablate`: from a question to the runs that answer it. It receives `train` and never imports it."""

"""YAML documents: read, found by name, checked against a model, with a place for every error."""

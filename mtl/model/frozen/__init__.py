"""Hidden states of frozen layers: computed once per sequence, stored and shared."""

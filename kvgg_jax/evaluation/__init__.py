"""How good a run is, and which of several is better."""

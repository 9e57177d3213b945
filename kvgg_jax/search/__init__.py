"""The search for settings: a learning rate, a whole space."""

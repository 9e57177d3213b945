"""Many runs for one answer: folds, learning rates, settings."""

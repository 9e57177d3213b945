"""Weights from files that may be anybody's."""

"""Weights from files that anybody may have written."""

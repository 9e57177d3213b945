"""A run as a page and as JSON, over HTTP."""

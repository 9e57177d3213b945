"""Results as HTML files that need no network."""

"""One module per kind of source: where photos are, and how they are listed."""

"""`kvgg serve`: a run as a page and as JSON, over HTTP."""

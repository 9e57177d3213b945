"""Results for a browser: pages and the server."""

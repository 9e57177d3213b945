"""Photos in tar files with an index: packed, verified and found by key."""

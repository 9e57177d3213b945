"""`fit`: a network and batches of the caller's own."""

"""Tables of a configuration that have a file of their own."""

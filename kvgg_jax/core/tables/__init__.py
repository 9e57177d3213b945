"""The tables of a configuration, one a file, and the names of architectures."""

"""Fast layers for CPUs, as functions of JAX."""

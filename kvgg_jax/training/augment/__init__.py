"""Random changes to training images, on the device: pure functions of (seed, step)."""

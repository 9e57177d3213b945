"""Random changes to training images, on the device."""

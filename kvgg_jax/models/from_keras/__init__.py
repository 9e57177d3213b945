"""Networks that Keras builds, whatever their layers are."""

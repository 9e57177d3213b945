"""Using a trained run: predict, apply a temperature, explain. Never loads TensorFlow."""

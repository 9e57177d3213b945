"""Epochs sent to TensorBoard, MLflow and Weights & Biases."""

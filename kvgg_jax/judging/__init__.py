"""What a trained network is worth: figures, calibration, comparisons."""

"""What the networks are and how they compute."""

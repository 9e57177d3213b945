"""What is in a folder of photos, and what would mislead a classifier."""

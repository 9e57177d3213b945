"""From given weights: which are loaded, what is frozen, and how the rest learns."""

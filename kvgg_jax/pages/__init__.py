"""Pages of HTML and what is drawn in them."""

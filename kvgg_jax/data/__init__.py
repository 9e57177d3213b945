"""Folders of photos: finding, splitting, decoding and feeding them."""

"""One image file -> upright sRGB pixels."""

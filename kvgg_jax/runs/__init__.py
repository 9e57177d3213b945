"""One run folder: what it holds, how it is written, checked and found."""

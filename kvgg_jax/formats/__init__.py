"""One file a format: `write(model, file, about)`, and `read(file)` by the format's own runtime."""

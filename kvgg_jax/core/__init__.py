"""What every other package uses: configuration, errors, events, files. Nothing heavy."""

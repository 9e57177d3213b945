"""The version of the package, for the manifest of a run and the files it exports."""

__version__ = "0.1.0"

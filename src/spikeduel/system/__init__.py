"""The ground: errors, files, the machine, progress, names of things."""

__version__ = "0.1.0"

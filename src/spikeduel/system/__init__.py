"""Errors, files, hardware, progress and typed documents; nothing about networks."""

__version__ = "0.1.0"

"""The commands."""

from spikeduel.cli.commands import app, main

__all__ = ["app", "main"]

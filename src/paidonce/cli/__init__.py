"""The command line: arguments and printing only."""

from paidonce.cli.app import app, main

__all__ = ["app", "main"]

"""The command line: arguments and printing only. A module for each group of commands; `…_view` is
what people see of one."""

from paidonce.cli.app import app, main

__all__ = ["app", "main"]

"""`python -m paidonce`."""

from paidonce.cli import main

main()

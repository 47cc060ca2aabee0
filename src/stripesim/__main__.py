"""`python -m stripesim`."""

from stripesim.cli import main

if __name__ == "__main__":
    main()

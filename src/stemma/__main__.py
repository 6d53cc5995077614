"""`python -m stemma` is `stemma`."""

from stemma.cli.main import entry

if __name__ == "__main__":
    entry()

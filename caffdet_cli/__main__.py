"""`python -m caffdet_cli`."""

from caffdet_cli.main import entry

if __name__ == "__main__":
    entry()

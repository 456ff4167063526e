"""`python -m tunesmith` is `tunesmith`."""

from tunesmith.cli.main import program

if __name__ == "__main__":
    program()

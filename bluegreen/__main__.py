"""`python -m bluegreen`: the command."""

from bluegreen.cli import main

if __name__ == "__main__":
    main()

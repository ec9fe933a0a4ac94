"""``python -m convsmith`` is the command line."""

from convsmith.cli.main import main

if __name__ == "__main__":
    main()

"""``python -m convsmith``."""

from convsmith.cli.main import main

if __name__ == "__main__":
    main()

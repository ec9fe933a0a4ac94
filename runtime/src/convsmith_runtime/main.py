"""The command ``convsmith-runtime``."""

import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line and exit: 0, or 2 for a mistake, which is said in a line."""
    try:
        import click  # comes with uvicorn

        from convsmith_runtime import __version__
        from convsmith_runtime.http.command import command
    except ImportError as error:
        fail(f'{error.name} is not installed: pip install "convsmith-runtime[http]"')
    settings = {"help_option_names": ["-h", "--help"]}
    group = click.Group("convsmith-runtime", {"serve": command}, context_settings=settings)
    group = click.version_option(__version__, prog_name="convsmith-runtime")(group)
    try:
        group.main(prog_name="convsmith-runtime", standalone_mode=False)
        sys.exit(0)
    except click.ClickException as error:
        message = error.format_message()
        fail(message[:1].lower() + message[1:].rstrip("."))
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)


def fail(text: str) -> NoReturn:
    """Say in a line what is wrong, and exit."""
    print(f"convsmith-runtime: {text}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()

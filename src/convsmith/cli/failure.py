"""What the command line says and returns when something goes wrong."""

import errno
import sys
import traceback
from dataclasses import asdict
from typing import Any

import click

from convsmith import __version__
from convsmith.cli.output import print_json
from convsmith.errors import ConvsmithError, RecipeError, did_you_mean

__all__ = ["report"]

# The machine's state rather than a fault of convsmith's: one line says it all.
SYSTEM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}

BUG = (
    "convsmith: this is a fault of convsmith {version}, not of yours. Please report it to the "
    "project's issue tracker, with the lines above and what `convsmith doctor` prints."
)


def report(error: BaseException, *, as_json: bool) -> int:
    """Print an error, on standard error and as JSON if that was asked for; return the exit status."""
    message, status = describe(error)
    if message is None:
        traceback.print_exception(error)
        print(BUG.format(version=__version__), file=sys.stderr)
    else:
        print(f"convsmith: {message}", file=sys.stderr)
    if as_json:
        print_json({"error": details(error, message or str(error), status)})
        sys.stdout.flush()
    return status


def describe(error: BaseException) -> tuple[str | None, int]:
    """Return what to say and the exit status; no text for what nobody foresaw."""
    if isinstance(error, ConvsmithError):
        return str(error), error.exit_code
    if isinstance(error, click.ClickException):
        return usage(error), error.exit_code
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return "stopped", 130
    if isinstance(error, OSError) and error.errno in SYSTEM:
        return f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror), 1
    return None, 1


def usage(error: click.ClickException) -> str:
    """Return one line for a command line that cannot be understood."""
    message = error.format_message()
    context = getattr(error, "ctx", None)
    if isinstance(error, click.NoSuchOption):
        options = [] if context is None else option_names(context)
        message = f"there is no option {error.option_name}"
        message += did_you_mean(error.option_name, options)
    if not isinstance(error, click.UsageError):
        return message
    command = "convsmith" if context is None else context.command_path
    return f"{message.rstrip('.')}; see `{command} --help`"


def option_names(context: click.Context) -> list[str]:
    """Return every option that the command of this context takes."""
    return [name for option in context.command.get_params(context) for name in option.opts]


def details(error: BaseException, message: str, status: int) -> dict[str, Any]:
    """Return an error as JSON values."""
    found: dict[str, Any] = {
        "type": type(error).__name__,
        "message": message,
        "exit_code": status,
    }
    if isinstance(error, RecipeError):
        found["mistakes"] = [asdict(mistake) for mistake in error.mistakes]
    return found

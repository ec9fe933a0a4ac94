"""The ``convsmith`` command: the table of its commands, and what every one of them has in common.

Nothing here imports PyTorch, so that ``convsmith --help`` answers at once.
"""

import contextlib
import os
import sys
from collections.abc import Sequence

import click

from convsmith import __version__
from convsmith.cli.failure import report
from convsmith.cli.group import Entry, LazyGroup

__all__ = ["COMMANDS", "main", "run"]

# The help is the first line of the command's own help; a test compares them.
COMMANDS = {
    "train": Entry("convsmith.cli.train:command", "Train a network from a recipe, or resume a run."),
    "evaluate": Entry("convsmith.cli.evaluate:command", "Measure a run again on a part of its data."),
    "predict": Entry("convsmith.cli.predict:command", "Say what is in some images, with a run."),
    "recipes": Entry("convsmith.cli.recipes:command", "List the presets and what each reached."),
    "recipe": Entry("convsmith.cli.recipe:command", "Show a recipe resolved, or the recipe schema."),
    "doctor": Entry("convsmith.cli.doctor:command", "Say what this machine has and what is missing."),
}

ABOUT = """From a folder of images to a trained and understood convolutional network.

Start with: convsmith train digits
"""

program = click.version_option(__version__, prog_name="convsmith", message="%(prog)s %(version)s")(
    LazyGroup(name="convsmith", help=ABOUT, entries=COMMANDS)
)


def main() -> None:
    """Run the command line of this process and exit with its status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status; errors have been printed."""
    for stream in (sys.stdout, sys.stderr):
        # A path that cannot be shown in the terminal's encoding is no reason to fail.
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        words = list(arguments) or ["--help"]
        status = program.main(words, prog_name="convsmith", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` for one, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Exception, KeyboardInterrupt) as error:
        return report(error, as_json=asks_for_json(arguments))
    return status if isinstance(status, int) else 0


def asks_for_json(arguments: Sequence[str]) -> bool:
    """Return whether ``--json`` is given, also on a line that cannot be parsed."""
    words = list(arguments)
    options = words[: words.index("--")] if "--" in words else words
    return "--json" in options

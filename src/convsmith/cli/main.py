"""The entry point: finds a command, and turns errors into one line and an exit code."""

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from importlib import import_module
from io import TextIOWrapper
from typing import Any, NoReturn

import click

from convsmith import __version__
from convsmith.errors import ConvsmithError, Interrupted, RecipeError, Terminated, did_you_mean

__all__ = ["COMMANDS", "main"]

# name -> (module with a function of that name, one line of help); nothing is imported before use
COMMANDS: dict[str, tuple[str, str]] = {
    "train": ("train", "Train a network from a preset or a recipe file."),
    "plan": ("plan", "Say what a training takes before it is run: memory, time, choices."),
    "lr": ("lr", "Find a learning rate by letting it grow until the loss breaks away."),
    "evaluate": ("evaluate", "Measure a finished run again, on any part of its data."),
    "predict": ("predict", "Say what is in images and folders, with a run's network."),
    "diagnose": ("diagnose", "Say what is wrong with a run or a recipe, and what to change."),
    "compress": ("compress", "Make a run's network smaller and faster, and measure what it costs."),
    "export": ("export", "Write a run's network as ONNX, pt2, … and verify what was written."),
    "check": ("check", "Replay the golden samples of a bundle, a stranger's too."),
    "bench": ("bench", "Time a network by engine, batch size and threads, and say which to use."),
    "serve": ("serve", "Serve a bundle: a page and an interface for programs, without torch."),
    "explain": ("explain", "Show what a network goes by, and whether that can be believed."),
    "data": ("data", "Show a data set and its augmentations, or check its files."),
    "compare": ("compare", "Compare runs: results, curves, and where their recipes differ."),
    "report": ("report", "Write a run's page, or an index of all runs."),
    "recipes": ("recipes", "List the presets and what each reached."),
    "recipe": ("recipe", "Show a recipe with everything resolved, or the schema of recipes."),
    "doctor": ("doctor", "Look at this machine: devices, memory, versions, data."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in their order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"convsmith.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or name the nearest."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            hint = did_you_mean(args[0], COMMANDS)
            raise click.UsageError(f"no command is called {args[0]!r}{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="convsmith", message="%(prog)s %(version)s")
def group() -> None:
    """From a folder of images to a trained, understood and served convolutional network."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0, 1 for a failure, 2 for a mistake, 128 + n for signal n."""
    given = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in given
    prepare_process()
    try:
        code = group.main(given, prog_name="convsmith", standalone_mode=False)
        if sys.stdout is not None:  # it is None where the shell has closed it: `>&-`
            sys.stdout.flush()  # a closed pipe shows here, not in the interpreter's last breath
        sys.exit(code if isinstance(code, int) else 0)
    except ConvsmithError as error:
        prefix = "" if isinstance(error, Interrupted) else "convsmith: "
        fail(f"{prefix}{error}", error.exit_code, as_json, type(error).__name__, mistakes_of(error))
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        sys.exit(2)
    except click.ClickException as error:
        fail(f"convsmith: {refusal(error)}", error.exit_code, as_json, "UsageError")
    except (KeyboardInterrupt, click.Abort):
        fail("convsmith: stopped", 130, as_json, "Interrupted")
    except Terminated:
        fail("convsmith: stopped", 143, as_json, "Interrupted")
    except BrokenPipeError:  # `convsmith … | head` read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)  # as click does where it meets the closed pipe first
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        fail(f"convsmith: {place}{error.strerror or error}", 1, as_json, "OSError")
    except Exception:  # noqa: BLE001  # the last line of defence: a bug of ours, shown whole
        fail(bug(), 70, as_json, "InternalError")


def prepare_process() -> None:
    """Set up what holds for the whole process: its streams, its threads, how it is ended."""
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show is no crash
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    share_processor()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, terminate)  # while a run trains, it has a handler of its own


def share_processor() -> None:
    """Let idle threads give up their core after some microseconds, unless the person says how long.

    GNU OpenMP's own rule keeps a waiting thread turning for a millisecond or more: beside another
    busy program, small networks then train several times as long. It reads this when torch is
    imported. docs/results.md has what it costs and gains.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")


def terminate(number: int, frame: object) -> NoReturn:
    """End in good order: what is half written is removed on the way out."""
    raise Terminated


def lower(text: str) -> str:
    """Return a sentence as the continuation of one."""
    return text[:1].lower() + text[1:].rstrip(".")


def refusal(error: click.ClickException) -> str:
    """Return what is wrong with the words of a command, and where to read how it is used."""
    message = lower(error.format_message())
    if not isinstance(error, click.UsageError):
        return message
    if "unexpected extra argument" in message and "=" in message:
        message += ": every setting needs a --set of its own"
    return f"{message}\ntry `{error.ctx.command_path} --help`" if error.ctx else message


def bug() -> str:
    """Return what is said of the exception that is being handled, which is a bug of ours."""
    return (
        f"{traceback.format_exc()}convsmith: this is a bug in convsmith {__version__}: please "
        "report it to the project's issue tracker, with the lines above and what "
        "`convsmith doctor` prints"
    )


def mistakes_of(error: ConvsmithError) -> dict[str, Any]:
    """Return what a recipe's error says besides its text, one entry a mistake."""
    if not isinstance(error, RecipeError):
        return {}
    return {"mistakes": [asdict(mistake) for mistake in error.mistakes]}


def fail(
    text: str, code: int, as_json: bool, kind: str, more: Mapping[str, Any] | None = None
) -> NoReturn:
    """Print an error, as JSON on standard output too if that was asked for, and exit."""
    print(text, file=sys.stderr)
    if as_json:
        error = {"kind": kind, "message": text, "exit_code": code} | dict(more or {})
        print(json.dumps({"error": error}))
    sys.exit(code)

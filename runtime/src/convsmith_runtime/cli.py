"""The command ``convsmith-runtime``: predict from a bundle, or check it."""

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from io import TextIOWrapper
from typing import NoReturn

from convsmith_runtime import __version__
from convsmith_runtime.bundle import open_bundle
from convsmith_runtime.errors import BundleError, ImageError
from convsmith_runtime.predict import Predictor
from convsmith_runtime.replay import replay
from convsmith_runtime.words import printable

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0, 1 for what differs or cannot be read, 2 for a mistake."""
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show is no crash
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["serve"]:
        serve(given[1:])
    asked = parser().parse_args(given)
    try:
        code = predict(asked) if asked.command == "predict" else check(asked)
    except BundleError as error:
        fail(str(error))
    except ModuleNotFoundError as error:
        fail(f"{error.name} is not installed: pip install convsmith-runtime")
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(code)


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    root = argparse.ArgumentParser("convsmith-runtime", description="Predict from a bundle.")
    root.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    about = "Say what is in images."
    one = commands.add_parser("predict", help=about, description=about)
    one.add_argument("bundle", metavar="BUNDLE")
    one.add_argument("images", nargs="+", metavar="IMAGE")
    one.add_argument("--top", type=positive, default=5, metavar="N", help="guesses an image (5)")
    about = "Replay the golden samples of a bundle."
    other = commands.add_parser("check", help=about, description=about)
    other.add_argument("bundle", metavar="BUNDLE")
    for each in (one, other):
        each.add_argument("--json", action="store_true", help="print one JSON object")
    commands.add_parser("serve", help='Answer over HTTP; needs "convsmith-runtime[http]".')
    return root


def positive(text: str) -> int:
    """Return a whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {text}")
    return int(text)


def predict(asked: argparse.Namespace) -> int:
    """Print what is in the images; those that cannot be read are listed, and the code is then 1."""
    predictor = Predictor(open_bundle(asked.bundle))
    predictions, problems = [], []
    for image in asked.images:
        try:
            predictions.append(predictor.predict(image, asked.top))
        except ImageError as error:
            problems.append(str(error))
    if asked.json:
        found = {"predictions": [asdict(each) for each in predictions], "problems": problems}
        print(json.dumps(found))
    else:
        for prediction in predictions:
            print(prediction.image)
            labels = [printable(guess.label) for guess in prediction.guesses]
            width = max(map(len, labels))
            for label, guess in zip(labels, prediction.guesses, strict=True):
                print(f"  {label:<{width}}  {guess.probability:7.2%}")
    for problem in problems:
        print(f"convsmith-runtime: {problem}", file=sys.stderr)
    return 1 if problems else 0


def check(asked: argparse.Namespace) -> int:
    """Replay a bundle's golden samples; the code is 1 if one differs."""
    found = replay(Predictor(open_bundle(asked.bundle)))
    for problem in found.problems:
        print(f"convsmith-runtime: {problem}", file=sys.stderr)
    if asked.json:
        print(json.dumps(asdict(found)))
    elif found.passed:
        print(
            f"{found.samples} golden samples replayed: the largest difference of a logit is "
            f"{found.difference:.1e} ({found.tolerance:.1e} is allowed)"
        )
    return 0 if found.passed else 1


def serve(arguments: list[str]) -> NoReturn:
    """Hand over to the command of the part that answers over HTTP."""
    try:
        click = importlib.import_module("click")
        command = importlib.import_module("convsmith_runtime.http.command").command
    except ModuleNotFoundError as error:
        fail(f'serving needs {error.name}: pip install "convsmith-runtime[http]"')
    try:
        command.main(arguments, prog_name="convsmith-runtime serve", standalone_mode=False)
    except click.ClickException as error:
        text = error.format_message()
        fail(text[:1].lower() + text[1:].rstrip("."))
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
    sys.exit(0)


def fail(text: str) -> NoReturn:
    """Say in a line what is wrong, and exit with 2."""
    print(f"convsmith-runtime: {text}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()

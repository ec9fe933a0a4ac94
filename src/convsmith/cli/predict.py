"""``convsmith predict``."""

import io
import sys
from pathlib import Path

import click

from convsmith.cli import options
from convsmith.cli.output import print_json
from convsmith.errors import UserError, WriteError

__all__ = ["command"]


@click.command("predict")
@click.argument("run")
@click.argument("images", nargs=-1, required=True)
@click.option(
    "--top", type=click.IntRange(1), default=5, show_default=True, help="Guesses an image."
)
@click.option("--csv", "csv_path", metavar="FILE", help="Write a row an image; - prints them.")
@options.runs
@options.as_json
def command(
    run: str,
    images: tuple[str, ...],
    top: int,
    csv_path: str | None,
    runs: str | None,
    as_json: bool,
) -> None:
    """Say what is in each of the IMAGES, with the network of RUN.

    Of a folder, every image in it and below is taken. Images that cannot be read are listed, and
    the exit code is then 1.
    """
    from convsmith.api.predict import predict, write_csv

    require_place(csv_path)
    found = predict(run, images, top=top, runs=runs)
    if csv_path == "-":
        write_csv(found, sys.stdout)
    elif csv_path is not None:
        table = io.StringIO()
        write_csv(found, table)
        write(csv_path, table.getvalue())
        print(f"{len(found.predictions):,} images: {csv_path}")
    if as_json:
        print_json(found)
    elif csv_path is None:
        for prediction in found.predictions:
            print(prediction.image)
            width = max(len(guess.label) for guess in prediction.guesses)
            for guess in prediction.guesses:
                bar = "█" * round(30 * guess.probability)
                print(f"  {guess.label:<{width}}  {guess.probability:7.2%}  {bar}")
    for problem in found.problems:
        print(f"convsmith: {problem}", file=sys.stderr)
    if found.problems:
        sys.exit(1)


def require_place(path: str | None) -> None:
    """Raise UserError if no file can be written at ``path``: before the work, not after it."""
    if path is None or path == "-":
        return
    if not path or Path(path).is_dir():
        raise UserError(f"--csv: {path or repr(path)} is no name of a file; say one, or - to print")
    if not Path(path).parent.is_dir():
        raise UserError(f"--csv: there is no folder {Path(path).parent}")


def write(path: str, text: str) -> None:
    """Write the table; names that are not UTF-8 are written with escapes, as they are printed."""
    try:
        with Path(path).open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            file.write(text)
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror or error}") from error

"""``convsmith compare``."""

import click

from convsmith.cli import options
from convsmith.cli.output import print_json, say, table

__all__ = ["command"]


@click.command("compare")
@click.argument("run", nargs=-1, required=True)
@click.option(
    "--out", metavar="FILE", default="comparison.html", show_default=True, help="The page."
)
@options.runs
@options.as_json
def command(run: tuple[str, ...], out: str, runs: str | None, as_json: bool) -> None:
    """Compare two or more RUNs: results, curves, and where their recipes differ."""
    from convsmith.api.report import compare, comparison_table

    found = compare(run, out=out, runs=runs)
    if as_json:
        print_json(found)
        return
    print(table(comparison_table(found.runs)))
    for note in found.notes:
        say(f"note: {note}")
    print(f"page: {found.page}")

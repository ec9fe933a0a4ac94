"""``convsmith report``."""

import click

from convsmith.cli import options
from convsmith.cli.output import print_json

__all__ = ["command"]


@click.command("report")
@click.argument("run", required=False)
@options.runs
@options.as_json
def command(run: str | None, runs: str | None, as_json: bool) -> None:
    """Write RUN's page, report.html; without RUN, an index of all runs.

    Training writes it by itself; this is for runs that were moved or made by an older version.
    """
    from convsmith.api.report import report

    page = report(run, runs=runs)
    if as_json:
        print_json({"page": page})
    else:
        print(f"page: {page}")

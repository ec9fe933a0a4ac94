"""``convsmith check``."""

import sys

import click

from convsmith.cli import options
from convsmith.cli.output import print_json, table
from convsmith_runtime.words import printable

__all__ = ["command"]


@click.command("check")
@click.argument("bundle")
@options.as_json
def command(bundle: str, as_json: bool) -> None:
    """Replay the golden samples of BUNDLE; the exit code is 1 if one differs.

    Nothing in a bundle is run or unpacked: of what it holds, the ONNX network, JSON and the golden
    images are read, with limits; all else is listed by its checksum and never opened.
    """
    from convsmith.api.check import check

    found = check(bundle)
    if as_json:
        print_json(found)
    else:
        about = [f"{found.classes:,} classes", f"licence: {found.licence or 'not stated'}"]
        line = f"{found.name}: {', '.join([*filter(None, [found.network]), *about])}"
        print(printable(line))  # a stranger's words
        rows = [[each.name, f"{each.bytes:,}", each.sha256[:16]] for each in found.members]
        print(table([["file", "bytes", "sha256"], *rows]))
    replayed = found.replayed
    if not replayed.passed:
        for problem in replayed.problems:
            print(f"convsmith: {problem}", file=sys.stderr)
        sys.exit(1)
    if not as_json:
        print(
            f"{replayed.samples} golden samples replayed: the largest difference of a logit is "
            f"{replayed.difference:.1e} ({replayed.tolerance:.1e} is allowed)"
        )

"""``convsmith bench``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from convsmith.cli import options
from convsmith.cli.output import print_json, say, table
from convsmith.sizes import in_words

if TYPE_CHECKING:
    from convsmith.api.bench import Bench, Configuration

__all__ = ["command"]


@click.command("bench")
@click.argument("targets", nargs=-1, metavar="RUN|BUNDLE…", required=True)
@click.option(
    "--engine",
    "engines",
    multiple=True,
    metavar="NAME",
    help="eager, bf16, compiled, onnxruntime or openvino; may be repeated.  [all that are there]",
)
@click.option(
    "--batch", "batches", type=int, multiple=True, help="May be repeated.  [1, 2, 4 … 256]"
)
@click.option("--threads", type=int, multiple=True, help="May be repeated.  [the cores]")
@click.option("--rounds", type=int, default=3, show_default=True, help="Turns of each.")
@click.option("--seconds", type=float, default=0.2, show_default=True, help="Of a turn.")
@click.option("--out", metavar="DIR", help="For bench.csv, .svg and .json.  [RUN/bench]")
@options.runs
@options.as_json
def command(
    targets: tuple[str, ...],
    engines: tuple[str, ...],
    batches: tuple[int, ...],
    threads: tuple[int, ...],
    rounds: int,
    seconds: float,
    out: str | None,
    runs: str | None,
    as_json: bool,
) -> None:
    """Time runs, with what compress made of them, and bundles on this machine's processor.

    Every engine, precision and number of threads has a process of its own; all take turns, so that
    a busy machine slows them alike. Timed is the way from uint8 images to logits.
    """
    from convsmith.api.bench import BATCHES, bench

    found = bench(
        targets,
        engines=engines,
        batches=batches or BATCHES,
        threads=threads,
        rounds=rounds,
        seconds=seconds,
        out=out,
        runs=runs,
        say=say,
    )
    if as_json:
        print_json(found)
    else:
        print(readable(found))


def readable(found: Bench) -> str:
    """Return the figures as a person reads them."""
    int8 = ", ".join(found.int8) or "no instructions for int8"
    threads = " and ".join(dict.fromkeys(each.in_threads for each in found.configurations))
    rounds = "round" if found.rounds == 1 else "rounds"
    marked = [
        f"not recommended: {each.name}, {'; '.join(each.marks)}"
        for each in found.configurations
        if each.marks and each.timed
    ]
    failed = [f"{each.name}: {each.failed}" for each in found.configurations if each.failed]
    blocks = [
        f"on {found.cpu}, {int8}; {threads}; {found.rounds} {rounds} in turns",
        table(rows(found)),
        *(["\n".join(marked)] if marked else []),
        *(["\n".join(failed)] if failed else []),
        *(f"note: {each}" for each in found.notes),
        f"files: {', '.join(map(str, found.files))}",
        verdict(found),
    ]
    return "\n\n".join(blocks)


def rows(found: Bench) -> list[tuple[str, ...]]:
    """Return a line for each configuration: the smallest batch, the fastest, and what it costs."""
    least = found.batches[0]
    unit = "one image" if least == 1 else f"{least} images"
    energy = any(t.joules_per_image for each in found.configurations for t in each.timed)
    head = ("configuration", "precision", f"{unit}: p50, p95, p99, ms", "most images", "memory")
    return [
        (*head, *(["mJ an image"] if energy else []), "lost"),
        *(
            (found.called(each), *row(each, least, energy))
            for each in found.configurations
            if each.timed
        ),
    ]


def row(each: Configuration, least: int, energy: bool) -> tuple[str, ...]:
    """Return the line of one configuration, less its name."""
    small, fast = each.at(least), each.fastest
    assert small is not None
    assert fast is not None
    joules = fast.joules_per_image
    return (
        each.precision,
        "  ".join(f"{1e3 * value:.2f}" for value in (small.p50, small.p95, small.p99)),
        f"{fast.images_per_second:,.0f}/s at {fast.batch}",
        "" if each.memory is None else in_words(each.memory),
        *(["" if joules is None else f"{1e3 * joules:.1f}"] if energy else []),
        "" if each.drop is None else f"{100 * each.drop:.2f} pp",
    )


def verdict(found: Bench) -> str:
    """Return which configuration to use."""
    known = {each.name: each for each in found.configurations}
    if found.quickest is None or found.busiest is None:
        return "none of these can be recommended: each loses more than its bound"
    quick, busy = known[found.quickest], known[found.busiest]
    small, fast = quick.at(found.batches[0]), busy.fastest
    assert small is not None
    assert fast is not None
    return (
        f"use {quick.name} for answers at once ({1e3 * small.p50:.2f} ms), and {busy.name} in "
        f"batches of {fast.batch} for the most images ({fast.images_per_second:,.0f}/s)"
    )

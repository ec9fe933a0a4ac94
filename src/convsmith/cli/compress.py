"""``convsmith compress``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from convsmith.cli import options
from convsmith.cli.output import print_json, say, table
from convsmith.errors import UserError
from convsmith.sizes import in_words

if TYPE_CHECKING:
    from convsmith.api.compress import Compressed, Variant

__all__ = ["command"]

ALL = "all"
JUDGED_AT = 32  # images in a batch, whose throughput decides what is slower


@click.command("compress")
@click.argument("run")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    metavar="KIND",
    help="fuse, bf16, weights, dynamic, static, full, qat, prune, or all; may be repeated.  "
    "[fuse, bf16, weights, static, full]",
)
@click.option(
    "--keep-float",
    multiple=True,
    metavar="LAYER",
    help="A layer that stays in fp32, or auto: as many of the worst as the bound takes.",
)
@click.option("--sensitivity", is_flag=True, help="Measure what integers do to each layer alone.")
@click.option(
    "--bound",
    type=float,
    default=0.3,
    show_default=True,
    help="The most top-1 to lose, in percentage points.",
)
@click.option(
    "--calibration",
    type=click.IntRange(min=1),
    default=512,
    show_default=True,
    help="Training images to take ranges from.",
)
@click.option(
    "--images", type=click.IntRange(min=1), help="The most images to measure accuracy on.  [all]"
)
@click.option(
    "--batch",
    "batches",
    type=click.IntRange(min=1),
    multiple=True,
    help="A batch size to time, besides 1 and 32; may be repeated.  [64, 128, 256]",
)
@click.option(
    "--epochs",
    type=float,
    default=1.0,
    show_default=True,
    help="Passes over the training images, for qat and prune.",
)
@click.option(
    "--lr", type=float, help="Their learning rate.  [qat 1e-5, prune a tenth of the recipe's]"
)
@click.option(
    "--share", type=float, default=0.3, show_default=True, help="The channels that prune takes out."
)
@options.runs
@options.data_root
@options.as_json
def command(
    run: str,
    kinds: tuple[str, ...],
    keep_float: tuple[str, ...],
    batches: tuple[int, ...],
    lr: float | None,
    bound: float,
    as_json: bool,
    **given: Any,
) -> None:
    """Make the network of RUN smaller and faster, and measure each way on this machine.

    dynamic, weights, static and full are the four kinds of quantisation, qat trains with rounded
    numbers first, prune cuts out channels. Files go into RUN/compressed, figures into
    RUN/compress.json and the report. Variants are chosen by the validation part.
    """
    from convsmith.api.compress import BATCHES, DEFAULT, compress
    from convsmith.api.variants import KINDS

    if "auto" in keep_float and len(keep_float) > 1:
        raise UserError("--keep-float: auto stands alone")
    if not 0 <= bound < 100:
        raise UserError(f"--bound: must be from 0 to below 100 percentage points, got {bound:g}")
    found = compress(
        run,
        KINDS if ALL in kinds else kinds or DEFAULT,
        keep_float=keep_float,
        bound=bound / 100,
        batches=batches or BATCHES,
        learning_rate=lr,
        say=say,
        **given,
    )
    if as_json:
        print_json(found)
    else:
        print(readable(found))


def readable(found: Compressed) -> str:
    """Return the variants as a person reads them."""
    int8 = ", ".join(found.int8) or "no instructions for int8"
    blocks = [
        f"on {found.cpu}, {found.threads} threads, {int8}",
        table(rows(found)),
        "\n".join(
            f"{each.name}: {'; '.join((each.about, *each.marks))}" for each in found.variants
        ),
    ]
    folded = [each for each in found.layers if each.absorbed]
    left = [each for each in found.layers if each.reason]
    lines = [f"BatchNorm folded into {len(folded)} layers"]
    lines += [f"not folded: {each.name}, {each.reason}" for each in left]
    blocks.append("\n".join(lines))
    if found.sensitivity:
        blocks.append(table(noise_rows(found)))
    if found.kept_float is not None:
        kept = ", ".join(found.kept_float.layers) or "none"
        end = f"loses {100 * found.kept_float.drops[-1]:.2f} pp"
        blocks.append(f"left in fp32: {kept}; static then {end}")
    cuts = [f"{', '.join(cut.layers)}: {cut.kept} of {cut.channels} channels" for cut in found.cuts]
    blocks += ["\n".join(cuts)] if cuts else []
    blocks += [f"note: {each}" for each in found.notes]
    blocks.append(verdict(found))
    return "\n\n".join(blocks)


def rows(found: Compressed) -> list[tuple[str, ...]]:
    """Return the table of variants; ``*`` is before those that no other beats in everything."""
    head = ("", "variant", "top-1", "test", "lost in test, pp", "agrees", "size", "one image")
    return [(*head, f"{JUDGED_AT} a batch"), *map(row, found.variants)]


def row(variant: Variant) -> tuple[str, ...]:
    """Return the line of one variant."""
    low, high = variant.test.interval
    return (
        "*" if variant.best else "",
        variant.name,
        f"{variant.selection.top1:.2%}",
        f"{variant.test.top1:.2%}",
        f"{100 * variant.test.drop:.2f} ({100 * low:.2f} to {100 * high:.2f})",
        f"{variant.test.agreement:.2%}",
        in_words(variant.bytes),
        f"{1e3 * variant.latency:.2f} ms",
        f"{variant.throughput[JUDGED_AT]:,.0f}/s",
    )


def noise_rows(found: Compressed) -> list[tuple[str, ...]]:
    """Return the layers, the most sensitive first."""
    head = ("layer alone as integers", "noise in the logits", "same class")
    return [
        head,
        *((each.name, f"{each.noise:.2e}", f"{each.agreement:.2%}") for each in found.sensitivity),
    ]


def verdict(found: Compressed) -> str:
    """Return the last line: what to take."""
    if found.chosen is None:
        return "none is both fast and accurate enough: keep the original"
    chosen = next(each for each in found.variants if each.name == found.chosen)
    original = found.variants[0]
    faster = chosen.throughput[JUDGED_AT] / original.throughput[JUDGED_AT]
    return (
        f"chosen by the {found.part}: {found.run}/{chosen.file}, {faster:.1f} times as fast in "
        f"batches of {JUDGED_AT} and {original.bytes / chosen.bytes:.1f} times smaller"
    )

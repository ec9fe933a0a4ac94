"""``convsmith export``."""

from typing import Any

import click

from convsmith.cli import options
from convsmith.cli.output import print_json, say

__all__ = ["command"]


@click.command("export")
@click.argument("run")
@click.option(
    "--to",
    type=click.Choice(["onnx", "pt2", "torchscript", "openvino"]),
    default="onnx",
    show_default=True,
    help="The format; torchscript is legacy.",
)
@click.option("--out", metavar="DIR", help="The folder for the files.  [RUN/exports]")
@click.option("--licence", metavar="TEXT", help="Under which the network may be used.")
@options.runs
@options.data_root
@options.as_json
def command(
    run: str,
    to: Any,
    out: str | None,
    licence: str | None,
    runs: str | None,
    data_root: str | None,
    as_json: bool,
) -> None:
    """Write the network of RUN in another format, and verify it in a fresh process.

    onnx writes a bundle, model.convsmith, for convsmith-runtime and `convsmith check`, and the ONNX
    file alone. The network takes uint8 images; scaling and normalisation are in it. What is written
    is compared with the training's own evaluation, from image files on; if it differs, it is kept
    aside and the exit code is 1.
    """
    from convsmith.api.export import export

    found = export(run, to, out=out, licence=licence, runs=runs, data_root=data_root)
    for note in found.notes:
        say(f"note: {note}")
    if as_json:
        print_json(found)
        return
    for path in found.files:
        print(f"{path}  ({path.stat().st_size:,} bytes)")
    if found.opset is not None:
        maps = ", with class activation maps" if found.maps else ""
        print(f"ONNX opset {found.opset}, any batch_size{maps}")
    verified = found.verified
    print(f"verified with {verified.engine} in a fresh process:")
    print(
        f"  top-1 {verified.top1:.2%} of {verified.images:,} test images "
        f"(the training's evaluation: {verified.expected:.2%})"
    )
    print(
        f"  logits within {verified.difference:.1e} on these and {verified.samples} golden image "
        f"files ({verified.tolerance:.1e} is allowed)"
    )

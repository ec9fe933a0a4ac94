"""``convsmith predict``."""

import click

from convsmith.cli import options
from convsmith.cli.output import print_json

__all__ = ["command"]


@click.command("predict")
@click.argument("run")
@click.argument("images", nargs=-1, required=True)
@click.option(
    "--top", type=click.IntRange(1), default=5, show_default=True, help="Guesses an image."
)
@options.runs
@options.as_json
def command(run: str, images: tuple[str, ...], top: int, runs: str | None, as_json: bool) -> None:
    """Say what is in each of the IMAGES, with the network of RUN."""
    from convsmith.api.predict import predict

    predictions = predict(run, images, top=top, runs=runs)
    if as_json:
        print_json({"predictions": predictions})
        return
    for prediction in predictions:
        print(prediction.image)
        width = max(len(guess.label) for guess in prediction.guesses)
        for guess in prediction.guesses:
            bar = "█" * round(30 * guess.probability)
            print(f"  {guess.label:<{width}}  {guess.probability:7.2%}  {bar}")

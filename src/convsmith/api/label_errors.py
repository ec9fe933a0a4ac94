"""Training and validation labels that look wrong to the network that learned from them."""

from dataclasses import asdict, dataclass, replace

from torch import Tensor

from convsmith.api.examples import example_side, picture
from convsmith.api.held_out import held_out_probabilities
from convsmith.api.measuring import Measuring
from convsmith.data.images import Images, Say
from convsmith.insight.label_errors import find_label_errors
from convsmith.recipe.build import eval_batches
from convsmith.runs.folder import to_json, write_atomically

__all__ = ["CheckedPart", "LabelError", "LabelReport", "check_labels"]

SHOWN = 60  # pictures


@dataclass(frozen=True)
class LabelError:
    """A label that looks wrong, the class that the image rather shows, and both probabilities."""

    part: str
    index: int
    name: str | None
    label: str
    suggested: str
    label_probability: float
    suggested_probability: float
    image: str | None


@dataclass(frozen=True)
class CheckedPart:
    """How many labels of a part look wrong; ``agreeing`` is the share that was guessed.

    ``folds`` is how many networks judged it, each the labels that it had not seen; 0 is the run's.
    """

    part: str
    images: int
    found: int
    agreeing: float
    folds: int = 0


@dataclass(frozen=True)
class LabelReport:
    """A run's ``label_errors.json``: the errors of all parts, the likeliest first."""

    parts: tuple[CheckedPart, ...]
    errors: tuple[LabelError, ...]


def check_labels(network: Measuring, folds: int | None, say: Say) -> LabelReport:
    """Look for wrong labels in what the run learned from; write ``label_errors.json``.

    The training images were trained on with these labels, so that some errors are known by heart
    and stay unseen, unless ``folds`` networks are trained to judge them; of the validation part the
    network knows none. The parts are judged apart.

    Args:
        network: of the run.
        folds: how many networks are trained anew, if any.
        say: told how far it is.
    """
    checked: list[CheckedPart] = []
    errors: list[LabelError] = []
    for part in ("train", "validation"):
        images = network.parts.named(part)
        if images is None:
            continue
        say(f"labels of the {part} part")
        anew = folds if folds and part == "train" else 0
        if anew:
            probabilities = held_out_probabilities(network, anew, say)
        else:
            batches = eval_batches(network.recipe, network.parts, part, network.device)
            assert batches is not None
            probabilities = network.probabilities(network.measure(batches, logits=True))
        found = errors_of(network, part, images, probabilities)
        agreeing = (probabilities.argmax(1) == images.labels).double().mean().item()
        checked.append(CheckedPart(part, len(images), len(found), agreeing, anew))
        errors += found
    errors.sort(key=lambda each: each.label_probability - each.suggested_probability)
    report = LabelReport(tuple(checked), tuple(with_pictures(network, errors)))
    write_atomically(network.folder.label_errors, to_json(asdict(report)))
    return report


def errors_of(
    network: Measuring, part: str, images: Images, probabilities: Tensor
) -> list[LabelError]:
    """Return what looks wrong in one part, without pictures."""
    classes = network.parts.classes
    found = find_label_errors(probabilities, images.labels)
    errors = []
    for index, suggested in zip(found.indices.tolist(), found.suggested.tolist(), strict=True):
        label, chances = int(images.labels[index]), probabilities[index].tolist()
        errors.append(
            LabelError(
                part=part,
                index=index,
                name=images.file(index),
                label=classes[label],
                suggested=classes[suggested],
                label_probability=round(chances[label], 6),
                suggested_probability=round(chances[suggested], 6),
                image=None,
            )
        )
    return errors


def with_pictures(network: Measuring, errors: list[LabelError]) -> list[LabelError]:
    """Write the pictures of the likeliest errors, and say where they are."""
    run = network.folder
    for old in run.figures.glob("label-*.png"):
        old.unlink()
    pictured = []
    for each in errors[:SHOWN]:
        images = network.parts.named(each.part)
        assert images is not None
        name = f"label-{each.part}-{each.index}"
        path = picture(run, images, each.index, name, example_side(images))
        pictured.append(replace(each, image=path))
    return pictured + errors[SHOWN:]

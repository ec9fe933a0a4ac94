"""Make a run's network smaller and faster in several ways, and measure each of them."""

import copy
import math
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import torch
from torch import nn

from convsmith.api.drive import write_page
from convsmith.api.evaluate import read_parts, threads
from convsmith.api.finetune import Training
from convsmith.api.folded import Folded, folded
from convsmith.api.load import load
from convsmith.api.machine import usable_cores
from convsmith.api.run import open_run, require_own_model
from convsmith.api.samples import Sample, Samples, choose_samples
from convsmith.api.variants import KINDS, Made, Workshop
from convsmith.compression.fuse import FusedLayer
from convsmith.compression.layers import Array, layers_of, require_layers
from convsmith.compression.measure import Accuracy, Judged, judge, logits_of, onnx_runner, time_all
from convsmith.compression.prune import Cut
from convsmith.compression.sensitivity import KeptFloat, LayerNoise, keep_worst, noise_by_layer
from convsmith.data.images import Source
from convsmith.errors import UserError, did_you_mean
from convsmith.exporting.files import write_whole
from convsmith.exporting.graph import Input
from convsmith.exporting.libraries import require_installed
from convsmith.processor import cpu_name, int8_support
from convsmith.runs.folder import RunFolder, to_json, write_atomically
from convsmith.runs.model_card import ModelCard

__all__ = ["DEFAULT", "Compressed", "Variant", "compress"]

PathLike = str | os.PathLike[str]
Say = Callable[[str], None]

DEFAULT = ("fuse", "bf16", "weights", "static", "full")
BATCHES = (1, 32, 64, 128, 256)
JUDGED_AT = 32  # images in a batch, whose throughput decides what is slower
FULL, NARROW = 127, 63  # the largest weight; the second where sums of two products have 16 bits


@dataclass(frozen=True)
class Variant:
    """One variant as it was measured.

    ``selection`` is the accuracy on the images that variants are chosen by, ``test`` on the test
    part, which chooses nothing. ``latency`` is the seconds of one image, ``throughput`` images a
    second by batch size. ``marks`` says what speaks against it; ``best`` is whether no other is at
    least as good in accuracy, latency and size, and better in one of them.
    """

    name: str
    engine: str
    about: str
    file: str | None
    bytes: int
    integer_layers: int
    selection: Accuracy
    test: Accuracy
    latency: float
    throughput: dict[int, float]
    marks: tuple[str, ...]
    best: bool


@dataclass(frozen=True)
class Compressed:
    """What came of compressing a run; ``bound`` and drops are fractions.

    ``chosen`` is the fastest variant with a file that is not slower than the original and loses no
    more than the bound. ``layers`` are those of the network and what was folded into them.
    """

    run: str
    part: str
    bound: float
    cpu: str
    int8: tuple[str, ...]
    threads: int
    calibration_images: int
    variants: tuple[Variant, ...]
    chosen: str | None
    layers: tuple[FusedLayer, ...]
    sensitivity: tuple[LayerNoise, ...]
    kept_float: KeptFloat | None
    cuts: tuple[Cut, ...]
    notes: tuple[str, ...]


def compress(
    run: PathLike,
    kinds: Sequence[str] = DEFAULT,
    *,
    keep_float: Sequence[str] = (),
    sensitivity: bool = False,
    bound: float = 0.003,
    calibration: int = 512,
    images: int | None = None,
    batches: Sequence[int] = BATCHES,
    epochs: float = 1.0,
    learning_rate: float | None = None,
    share: float = 0.3,
    model: nn.Module | None = None,
    data: Source | None = None,
    runs: PathLike | None = None,
    data_root: PathLike | None = None,
    say: Say = lambda text: None,
) -> Compressed:
    """Make variants of a finished run's network, measure them, and write them into its folder.

    ``compressed/`` and ``compress.json`` there are replaced; the run itself stays as it is.
    Everything is measured on this machine's processor.

    Args:
        run: its folder, or its name in the runs folder.
        kinds: of ``fuse``, ``bf16``, ``weights``, ``dynamic``, ``static``, ``full``, ``qat`` and
            ``prune``.
        keep_float: layers that stay in fp32; ``["auto"]`` is as many of the worst as it takes for
            ``static`` to lose no more than ``bound``.
        sensitivity: measure what integers do to each layer alone; ``auto`` does.
        bound: the top-1 that a variant may lose, as a fraction.
        calibration: training images that ranges are taken from.
        images: the most images of each part that accuracy is measured on; None is all.
        batches: sizes that are timed, besides 1 and 32.
        epochs: passes over the training images for ``qat`` and ``prune``.
        learning_rate: of these; by default 1e-5 with AdamW for ``qat``, and a tenth of the recipe's
            for ``prune``.
        share: of the channels that ``prune`` takes out.
        model: the network, for a run that trained a module of your own.
        data: the data, for a run that trained on data of your own.
        runs: the folder of runs.
        data_root: where data sets lie.
        say: told what is being done.

    Raises:
        RunError: there is no such finished run.
        ModelError: the network's graph cannot be followed.
        UserError: there is no such kind or layer, or a library is missing.
    """
    require_sensible(kinds, bound, share)
    require_positive(calibration=calibration, images=images, batches=min(batches, default=None))
    require_positive(epochs=epochs, learning_rate=learning_rate)
    opened = open_run(run, runs)
    require_own_model(opened, model)
    loaded, recipe = load(opened.path, module=copy.deepcopy(model)), opened.recipe
    require_images(loaded.card)
    say("folding")
    ready = folded(loaded.module, input_of(loaded.card))
    if not is_auto(keep_float):
        require_layers(ready.proto.graph, keep_float)
    parts = read_parts(opened, recipe, "test", data, data_root)
    samples = choose_samples(parts, recipe.seed, calibration, images)
    with threads(usable_cores()):
        say(f"calibrating on {calibration:,} training images")
        training = Training(recipe, parts, epochs, learning_rate, say)
        workshop = workshop_of(ready, samples.calibration, training, share)
        kept, noises = chosen_float(workshop, samples, keep_float, bound, sensitivity, say)
        made = made_of(workshop, kinds, keep_float if kept is None else kept.layers, say)
        variants = measured(made, samples, batches, bound, say)
        found = Compressed(
            run=str(opened.path),
            part=samples.part,
            bound=bound,
            cpu=cpu_name(),
            int8=int8_support(),
            threads=torch.get_num_threads(),
            calibration_images=calibration,
            variants=variants,
            chosen=choose(variants),
            layers=ready.layers(),
            sensitivity=noises,
            kept_float=kept,
            cuts=() if workshop.pruned is None else workshop.pruned.cuts,
            notes=notes(workshop, kinds),
        )
    write(opened.folder, found, made, say)
    return found


def workshop_of(ready: Folded, calibration: Sample, training: Training, share: float) -> Workshop:
    """Return what the variants are made of, as this machine's processor wants them."""
    return Workshop(
        ready,
        list(calibration.batches()),
        torch.get_num_threads(),
        FULL if int8_support() else NARROW,
        training,
        share,
    )


def is_auto(keep_float: Sequence[str]) -> bool:
    """Return whether the layers that stay in fp32 are to be found."""
    return list(keep_float) == ["auto"]


def input_of(card: ModelCard) -> Input:
    """Return what the network takes."""
    return Input(card.channels, card.image_size, card.mean, card.std, card.scale)


def require_images(card: ModelCard) -> None:
    """Raise UserError for a network of points."""
    if card.scale != 255:
        raise UserError("compress is for networks of images; this run trained on points")


def require_sensible(kinds: Sequence[str], bound: float, share: float) -> None:
    """Raise UserError for what cannot be meant, or for libraries that are not there."""
    require_installed("onnx", "onnxruntime", "onnxscript")
    for kind in kinds:
        if kind not in KINDS:
            hint = did_you_mean(kind, KINDS)
            raise UserError(f"no kind of compression is called {kind!r}{hint}: {', '.join(KINDS)}")
    for name, value in (("bound", bound), ("share", share)):
        if not 0 <= value < 1:
            raise UserError(f"{name} must be at least 0 and below 1, got {value}")


def require_positive(**given: float | None) -> None:
    """Raise UserError for a number that is not above 0 and finite; None is not given."""
    for name, value in given.items():
        if value is not None and not 0 < value < math.inf:
            raise UserError(f"{name} must be more than 0, got {value:g}")


def chosen_float(
    workshop: Workshop,
    samples: Samples,
    keep_float: Sequence[str],
    bound: float,
    sensitivity: bool,
    say: Say,
) -> tuple[KeptFloat | None, tuple[LayerNoise, ...]]:
    """Return the layers that ``auto`` leaves in fp32, and what integers do to each layer alone."""
    integers, auto = workshop.integers, is_auto(keep_float)
    if not (auto or sensitivity):
        return None, ()
    batches, labels = list(samples.selection.batches()), samples.selection.labels

    def logits(kept: Collection[str] | None, *, between: bool = True) -> Array:
        proto = integers.proto
        if kept is not None:
            proto = workshop.to_static(integers, kept, between=between)
        return logits_of(onnx_runner(proto.SerializeToString(), workshop.threads), batches)

    say("measuring the layers one by one")
    names = [layer.name for layer in layers_of(integers.proto.graph)]
    noises = noise_by_layer(names, partial(logits, between=False))
    if not auto:
        return None, noises
    right = Judged.of(logits_of(workshop.original().runner, batches), labels).right.mean()

    def drop(kept: Sequence[str]) -> float:
        lost = float(right - Judged.of(logits(kept), labels).right.mean())
        say(f"{len(kept)} layers in fp32: top-1 drops by {100 * lost:.2f} pp")
        return lost

    return keep_worst([each.name for each in noises], drop, bound), noises


def made_of(
    workshop: Workshop, kinds: Sequence[str], keep_float: Collection[str], say: Say
) -> list[Made]:
    """Return the original and the variants of each kind."""
    made = [workshop.original()]
    for kind in dict.fromkeys(kinds):
        say(f"making {kind}")
        made += workshop.make(kind, keep_float)
    return made


def measured(
    made: Sequence[Made], samples: Samples, batches: Sequence[int], bound: float, say: Say
) -> tuple[Variant, ...]:
    """Return the variants with their figures; the first is the original."""
    parts = (samples.selection, samples.test)
    accuracies: list[list[Accuracy]] = []
    original: list[Judged] = []
    for each in made:
        say(f"measuring {each.name} on {sum(map(len, parts)):,} images")
        judged = [Judged.of(logits_of(each.runner, part.batches()), part.labels) for part in parts]
        original = original or judged
        pairs = zip(judged, original, strict=True)
        accuracies.append([judge(ours, its) for ours, its in pairs])
    sizes = sorted({1, JUDGED_AT, *batches})
    say("timing")
    pixels = samples.calibration.first(max(sizes))
    times = time_all({each.name: each.runner for each in made}, pixels, sizes)
    rates = {name: {b: b / s for b, s in each.items()} for name, each in times.items()}
    least = rates["original"][JUDGED_AT]
    drops = [selection.drop for selection, _ in accuracies]
    costs = [(drop, times[each.name][1], each.size) for drop, each in zip(drops, made, strict=True)]
    return tuple(
        Variant(
            name=each.name,
            engine=each.engine,
            about=each.about,
            file=None if each.content is None else f"compressed/{each.name}.onnx",
            bytes=each.size,
            integer_layers=each.integer_layers,
            selection=selection,
            test=test,
            latency=times[each.name][1],
            throughput=rates[each.name],
            marks=marks(selection.drop, bound, rates[each.name][JUDGED_AT], least),
            best=not any(dominates(other, cost) for other in costs),
        )
        for each, (selection, test), cost in zip(made, accuracies, costs, strict=True)
    )


def marks(drop: float, bound: float, rate: float, least: float) -> tuple[str, ...]:
    """Return what speaks against a variant."""
    found = []
    if drop > bound:
        found.append(f"loses more than {100 * bound:g} pp")
    if rate < least:
        found.append("slower than the original")
    return tuple(found)


def dominates(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    """Return whether one is nowhere worse than another, and somewhere better."""
    return first != second and all(a <= b for a, b in zip(first, second, strict=True))


def choose(variants: Sequence[Variant]) -> str | None:
    """Return the fastest variant with a file that nothing speaks against."""
    able = [each for each in variants if each.file is not None and not each.marks]
    fastest = max(able, key=lambda each: each.throughput[JUDGED_AT], default=None)
    return None if fastest is None else fastest.name


def notes(workshop: Workshop, kinds: Sequence[str]) -> tuple[str, ...]:
    """Return what the reader should know."""
    found = []
    if workshop.largest < FULL and {"dynamic", "static", "full", "qat"} & {*kinds}:
        found.append(
            "this processor has no instructions for int8 products (VNNI, AMX): weights have 7 "
            "bits, so that its 16-bit sums do not overflow, and integers may be no faster"
        )
    return tuple(found)


def write(run: RunFolder, found: Compressed, made: Sequence[Made], say: Say) -> None:
    """Replace what the run's folder and its page hold of an earlier compression."""
    folder = run.compressed
    for each in made:
        if each.content is not None:
            write_whole(folder / f"{each.name}.onnx", each.content)
    kept = {f"{each.name}.onnx" for each in made if each.content is not None}
    for path in folder.glob("*.onnx"):
        if path.name not in kept:
            path.unlink()
    write_atomically(run.compression, to_json(asdict(found)))
    write_page(run, say)

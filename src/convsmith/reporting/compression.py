"""What compressing a run's network came to, as the run's page shows it."""

from dataclasses import dataclass

from markupsafe import Markup

from convsmith.reporting.charts import Bar, bar_chart
from convsmith.reporting.numbers import bytes_text, count, percent, short
from convsmith.reporting.scatter import Dot, scatter_chart
from convsmith.reporting.sections import Absent, read_file
from convsmith.runs.folder import RunFolder

__all__ = ["CompressionPage", "read_compression"]

JUDGED_AT = "32"
MOST_LAYERS = 12


@dataclass(frozen=True)
class Accuracy:
    """Of one variant on one part; ``interval`` is of ``drop``."""

    top1: float
    top5: float
    agreement: float
    drop: float
    interval: tuple[float, float]
    images: int


@dataclass(frozen=True)
class Variant:
    """One variant in ``compress.json``."""

    name: str
    engine: str
    about: str
    file: str | None
    bytes: int
    selection: Accuracy
    test: Accuracy
    latency: float
    throughput: dict[str, float]
    marks: tuple[str, ...]
    best: bool

    @property
    def lost(self) -> str:
        """Return what it loses in the test part, with the interval, in percentage points."""
        low, high = self.test.interval
        return f"{points(self.test.drop)} ({points(low)} to {points(high)})"


@dataclass(frozen=True)
class Layer:
    """A layer of the network, what was folded into it, or why a normalisation was left."""

    name: str
    kind: str
    absorbed: str | None
    then: tuple[str, ...]
    joined: tuple[str, ...]
    reason: str

    @property
    def apart(self) -> tuple[str, ...]:
        """Return what the runtime does after the layer, as an operation of its own."""
        return self.then[len(self.joined) :]


@dataclass(frozen=True)
class LayerNoise:
    """What integers do to one layer alone."""

    name: str
    noise: float
    agreement: float


@dataclass(frozen=True)
class Stored:
    """The part of ``compress.json`` that is shown."""

    part: str
    bound: float
    cpu: str
    int8: tuple[str, ...]
    threads: int
    calibration_images: int
    variants: tuple[Variant, ...]
    chosen: str | None
    layers: tuple[Layer, ...]
    sensitivity: tuple[LayerNoise, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class CompressionPage:
    """The section: what to say first, the chart, the table, the layers."""

    stored: Stored
    lead: str
    picture: Markup
    sizes: tuple[str, ...]
    noise: Markup | None

    @property
    def machine(self) -> str:
        """Return what it was measured on."""
        int8 = " and ".join(self.stored.int8) or "no instructions for int8 products"
        return f"{self.stored.cpu}, {self.stored.threads} threads, {int8}"


def read_compression(run: RunFolder) -> CompressionPage | Absent:
    """Return a run's ``compress.json`` with its figures."""
    found = read_file(run.compression, Stored)
    if isinstance(found, Absent):
        return found
    whole = found.variants and all(
        {"1", JUDGED_AT} <= each.throughput.keys() and each.latency > 0 for each in found.variants
    )
    if not whole:
        return Absent("compress.json is damaged: its variants lack figures.", damaged=True)
    sizes = tuple(size for size in found.variants[0].throughput if size != "1")
    return CompressionPage(found, lead(found), picture(found), sizes, noise(found))


def lead(found: Stored) -> str:
    """Return in a sentence what was chosen."""
    chosen = next((each for each in found.variants if each.name == found.chosen), None)
    if chosen is None:
        return "No variant is both fast and accurate enough; the original stays."
    original = found.variants[0]
    faster = chosen.throughput[JUDGED_AT] / original.throughput[JUDGED_AT]
    return (
        f"{chosen.name} is {faster:.1f} times as fast as the original in batches of "
        f"{JUDGED_AT} and {original.bytes / chosen.bytes:.1f} times smaller; it was chosen by "
        f"the {found.part}, with at most {points(found.bound)} percentage points to lose."
    )


def picture(found: Stored) -> Markup:
    """Return accuracy against the time of an image, with the size as the area of the dots."""
    largest = max(each.bytes for each in found.variants)
    dots = tuple(
        Dot(
            label=each.name,
            x=1e3 * each.latency,
            y=each.selection.top1,
            area=each.bytes / largest,
            words=f"{percent(each.selection.top1)}, {short(1e3 * each.latency)} ms, "
            f"{bytes_text(each.bytes)}",
            best=each.best,
        )
        for each in found.variants
    )
    return scatter_chart(
        "compression-chart",
        "Accuracy, latency and size",
        f"top-1, {found.part}; the larger the dot, the larger the file",
        "ms an image",
        dots,
    )


def noise(found: Stored) -> Markup | None:
    """Return the layers that integers disturb most, as bars."""
    if not found.sensitivity:
        return None
    worst = found.sensitivity[:MOST_LAYERS]
    bars = [
        Bar(each.name, each.noise, f"{short(each.noise)}, {percent(each.agreement)} as before")
        for each in worst
    ]
    left = len(found.sensitivity) - len(worst)
    words = f"noise in the logits, share of their variance{f'; {count(left)} more' if left else ''}"
    return bar_chart("sensitivity", "Each layer alone as integers", bars, words)


def points(share: float) -> str:
    """Return a fraction as percentage points, without a minus before a zero."""
    text = f"{100 * share:.2f}"
    return text.removeprefix("-") if float(text) == 0 else text

"""Run folders to make pages of, and a reader of pages."""

import json
import struct
import zlib
from html.parser import HTMLParser

from convsmith.runs.folder import RunFolder

RECIPE = """\
seed: 0
data: {source: digits, augment: none, validation: 0.1}
model: {name: digits_cnn, widths: [32, 64], dropout: 0.2}
optimizer: {name: adamw, learning_rate: 0.003}
train: {epochs: 3, batch_size: 64, clip_norm: null}
"""
ENVIRONMENT = {
    "exact": {"convsmith": "0.1.0", "torch": "2.14.1", "device": "cpu", "threads": 2},
    "python": "3.11.7",
    "started": "2026-11-23T21:07:24+00:00",
    "command": "convsmith train digits --epochs 3",
}
VOID = {"meta", "link", "img", "br", "input"}


def make_run(runs, name, recipe=RECIPE, epochs=3, finished=True):
    run = RunFolder.create(runs, "run", recipe, ENVIRONMENT, name)
    write_events(run, [event for number in range(1, epochs + 1) for event in epoch(number)])
    if finished:
        run.results.write_text(json.dumps(results(run, epochs)))
        run.model.write_text(json.dumps({"name": "digits_cnn", "classes": list("0123456789")}))
    return run


def epoch(number, loss=None, top1=None):
    """One epoch of ten steps that ends with the loss 1 / number."""
    loss = 1 / number if loss is None else loss
    top1 = 1 - 0.1 / number if top1 is None else top1
    for step in (number * 10 - 5, number * 10):
        yield {
            "event": "step",
            "step": step,
            "epoch": number - 1,
            "loss": loss,
            "top1": top1,
            "learning_rate": 0.001 * number,
            "images_per_second": 5000.0 + step,
            "memory_bytes": 2**29,
            "memory_peak_bytes": 2**29 + 2**27,
        }
    yield {
        "event": "epoch",
        "epoch": number,
        "step": number * 10,
        "train": {"loss": loss, "top1": top1},
        "val": {"loss": loss * 1.5, "top1": top1 - 0.05, "top5": 0.99},
        "learning_rate": 0.001 * number,
        "seconds": 2.5 * number,
    }


def write_events(run, events):
    run.metrics.write_text("".join(json.dumps(event) + "\n" for event in events))


def results(run, epochs=3, top1=0.9931, seconds=109.3):
    return {
        "run": str(run.path),
        "test": {"top1": top1, "top5": 0.9999, "loss": 0.02431, "images": 10000},
        "val": {"top1": 0.9917, "top5": 1.0, "loss": 0.0297, "images": 5999},
        "epochs": epochs,
        "steps": epochs * 10,
        "best_epoch": 2,
        "weights": "last",
        "averaged": False,
        "trained_on_all": False,
        "seconds": seconds,
        "images_per_second": 5218.2,
        "eval_images_per_second": 24343.0,
        "peak_memory_bytes": 878313472,
        "parameters": 184586,
        "model_bytes": 739040,
        "per_class": {"mean": 0.99, "std": 0.01, "min": 0.9841, "max": 1.0},
    }


def png(width=4, height=4):
    """A grey picture, whole to the last byte."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + b"\x80" * width for _ in range(height)))
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def add_extras(run, classes=("cat", "dog", "owl"), matrix=((8, 2, 0), (1, 9, 0), (0, 0, 10))):
    """Write all the optional files."""
    confusion = {"part": "test", "classes": list(classes), "matrix": [list(r) for r in matrix]}
    (run.path / "confusion.json").write_text(json.dumps(confusion))
    (run.path / "figures").mkdir()
    for name in ("samples", "augmented", "mistake-00"):
        (run.path / "figures" / f"{name}.png").write_bytes(png())
    mistake = {
        "image": "figures/mistake-00.png",
        "label": classes[0],
        "guess": classes[1],
        "probability": 0.98,
        "index": 17,
        "name": None,
    }
    write_mistakes(run, [mistake])


def write_mistakes(run, mistakes):
    text = json.dumps({"part": "test", "mistakes": mistakes})
    (run.path / "mistakes.json").write_text(text)


def add_measures(run, classes=("cat", "dog", "owl")):
    """Write what is measured of classes and confidence, and what is measured when asked for."""

    def interval(value):
        return {"value": value, "low": value - 0.05, "high": min(1.0, value + 0.04)}

    scores = {
        "part": "test", "images": 30, "confidence": 0.95, "resamples": 1000,
        "top_k": [0.9, 0.95, 1.0], "accuracy": interval(0.9), "mean_precision": interval(0.91),
        "mean_recall": interval(0.92), "mean_f1": interval(0.93),
        "classes": [
            {"name": name, "precision": interval(0.71 + at / 10),
             "recall": interval(0.8), "f1": interval(0.75)}
            for at, name in enumerate(classes)
        ],
    }  # fmt: skip
    write(run.classes, scores)
    write(run.calibration, {
        "part": "test", "images": 30, "temperature": 1.4321, "fitted_on": 40, "note": "",
        "before": measured(0.0812, 0.4), "after": measured(0.0323, 0.3),
    })  # fmt: skip
    mistake = {"image": "figures/mistake-00.png", "label": classes[0], "guess": classes[1],
               "probability": 0.77, "index": 3, "name": None}  # fmt: skip
    write(run.examples, {
        "part": "test",
        "pairs": [{"label": classes[0], "guess": classes[1], "examples": [mistake] * 2}],
        "classes": [
            {"name": classes[0], "missed": [mistake], "taken": []},
            {"name": classes[1], "missed": [], "taken": [mistake | {"image": None}]},
        ],
    })  # fmt: skip
    kinds = {"noise": 0.0, "blur": 0.1, "brightness": 0.02, "jpeg": 0.05}
    write(run.robustness, {
        "part": "test", "images": 30, "top1": 0.9, "ece": 0.03, "mean_top1": 0.7654,
        "corruptions": [
            {"name": name, "setting": "deviation", "settings": [0.1, 0.2, 0.3, 0.4, 0.5],
             "top1": [0.9 - loss * n for n in range(1, 6)],
             "ece": [0.03 + loss * n / 2 for n in range(1, 6)]}
            for name, loss in kinds.items()
        ],
    })  # fmt: skip
    write(run.label_errors, {
        "parts": [
            {"part": "train", "images": 200, "found": 1, "agreeing": 0.985},
            {"part": "validation", "images": 40, "found": 0, "agreeing": 0.91},
        ],
        "errors": [{"part": "train", "index": 12, "name": None, "label": classes[2],
                    "suggested": classes[0], "label_probability": 0.02,
                    "suggested_probability": 0.93, "image": "figures/mistake-00.png"}],
    })  # fmt: skip


def measured(ece, log_loss):
    """How true some probabilities are, in two bins."""
    bins = [
        {"low": 0.6, "high": 2 / 3, "images": 10, "confidence": 0.64, "accuracy": 0.5,
         "least": 0.3, "most": 0.9},
        {"low": 14 / 15, "high": 1.0, "images": 20, "confidence": 0.97, "accuracy": 1.0,
         "least": 0.9, "most": 1.0},
    ]  # fmt: skip
    return {"ece": ece, "ece_if_true": 0.0123, "log_loss": log_loss, "brier": 0.2,
            "confidence": 0.86, "accuracy": 0.8333, "bins": bins}  # fmt: skip


def write(path, content):
    path.write_text(json.dumps(content))


class Page(HTMLParser):
    """A page's tags, ids, addresses and words; ill-formed nesting is an error."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.addresses, self.tags, self.words = [], [], [], [], []
        self.charts, self.figure = {}, None
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        assert len(values) == len(attributes), f"<{tag}> has an attribute twice"
        self.tags.append((tag, values))
        self.ids += [values["id"]] if "id" in values else []
        self.addresses += [values[key] for key in ("src", "href") if key in values]
        self.figure = values.get("id") if tag == "figure" else self.figure
        if "data-chart" in values:
            self.charts[self.figure] = json.loads(values["data-chart"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert [tag] == self.open[-1:], f"</{tag}> closes another"
        self.open.pop()

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag, css=None):
        return [
            values
            for name, values in self.tags
            if name == tag and (css is None or css in values.get("class", "").split())
        ]


def read_page(path):
    """Read a page, and check what holds for all of them."""
    page = Page(path.read_text(encoding="utf-8"))
    assert len(page.ids) == len(set(page.ids))
    targets = [address[1:] for address in page.addresses if address.startswith("#")]
    assert set(targets) <= set(page.ids)
    assert not [a for a in page.addresses if ":" in a and not a.startswith("data:")]
    for drawing in page.all("svg"):
        assert (
            drawing.get("aria-hidden") == "true"
            or drawing.get("class") == "share"
            or (drawing["role"] == "img" and drawing["aria-label"])
        )
    return page


def chart_lines(page, name):
    """The points of a line chart as its script gets them: {line: [(x, words), …]}."""
    lines = page.charts[name]["lines"]
    return {line["name"]: [(point[0], point[3]) for point in line["points"]] for line in lines}

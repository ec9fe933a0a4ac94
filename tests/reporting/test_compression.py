"""The section of a run's page that shows what compressing it came to."""

import json
import re
from itertools import pairwise

import pytest
from tests.reporting.builders import make_run, read_page

from convsmith.reporting.charts import WIDE
from convsmith.reporting.report import write_report
from convsmith.reporting.scatter import Dot, scatter_chart, spread

HOSTILE = "<script>alert(1)</script>"


def accuracy(top1, drop=0.0):
    return {
        "top1": top1,
        "top5": 1.0,
        "agreement": 0.97,
        "drop": drop,
        "interval": [drop - 0.001, drop + 0.001],
        "images": 10000,
    }


def variant(name, top1, latency, size, **other):
    return {
        "name": name,
        "engine": "ONNX Runtime",
        "about": "what it is",
        "file": f"compressed/{name}.onnx",
        "bytes": size,
        "integer_layers": 21,
        "selection": accuracy(top1),
        "test": accuracy(top1 - 0.01, 0.0012),
        "latency": latency,
        "throughput": {"1": 1 / latency, "32": 2 / latency, "128": 3 / latency},
        "marks": [],
        "best": True,
    } | other


def stored(**other):
    return {
        "part": "validation part",
        "bound": 0.003,
        "cpu": "A processor",
        "int8": ["AVX-512 VNNI"],
        "threads": 2,
        "calibration_images": 512,
        "variants": [
            variant("original", 0.95, 0.008, 44_000_000, best=False),
            variant("static", 0.949, 0.002, 11_000_000),
            variant("dynamic", 0.95, 0.02, 11_000_000, marks=["slower than the original"]),
        ],
        "chosen": "static",
        "layers": [
            {"name": "stem.0", "kind": "convolution", "absorbed": "stem.1",
             "then": ["relu", "max pooling"], "joined": ["relu"], "reason": ""},
            {"name": "norm", "kind": "GroupNorm", "absorbed": None, "then": [], "joined": [],
             "reason": "it normalises each image by what is in it"},
        ],
        "sensitivity": [{"name": "stem.0", "noise": 1e-3, "agreement": 0.99}],
        "notes": ["a note"],
    } | other  # fmt: skip


def page_of(tmp_path, content):
    run = make_run(tmp_path, "mine")
    run.compression.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_page(write_report(run))


def test_it_shows_what_was_chosen_every_variant_and_every_layer(tmp_path):
    page = page_of(tmp_path, stored())
    for words in (
        "static is 4.0 times as fast as the original in batches of 32 and 4.0 times smaller",
            "chosen",
        "slower than the original", "94.90%", "93.90%", "0.12 (0.02 to 0.22)", "10.5 MiB",
        "2 ms", "1,000/s", "A processor, 2 threads, AVX-512 VNNI", "stem.1",
        "left: it normalises each image by what is in it", "max pooling", "a note",
        "Each layer alone as integers",
    ):  # fmt: skip
        assert words in page.text, words
    assert "#compression" in page.addresses


def test_a_run_that_was_not_compressed_has_no_such_section(tmp_path):
    page = read_page(write_report(make_run(tmp_path, "mine")))
    assert "compression" not in page.ids
    assert "Compressed" not in page.text


def test_none_chosen_is_said(tmp_path):
    assert "the original stays" in page_of(tmp_path, stored(chosen=None, sensitivity=[])).text


@pytest.mark.parametrize(
    "content",
    ["{", json.dumps(stored(variants=[])), json.dumps(stored(variants=[{"name": 1}])),
     json.dumps(stored(variants=[variant("x", 1, 1, 1, throughput={})]))],
)  # fmt: skip
def test_a_damaged_file_is_said(tmp_path, content):
    assert "compress.json is damaged" in page_of(tmp_path, content).text


def test_names_are_no_markup(tmp_path):
    variants = [variant(HOSTILE, 0.9, 0.01, 10), variant("b", 0.8, 0.02, 20)]
    page = page_of(tmp_path, stored(variants=variants, chosen=HOSTILE))
    assert HOSTILE in page.text
    assert len(page.all("script")) == 1


def test_discs_lie_where_their_values_are_and_their_areas_are_as_said():
    dots = [Dot("a", 1, 0.9, 1.0, "", True), Dot("b", 2, 0.8, 0.25, "", False)]
    text = str(scatter_chart("c", "T", "n", "ms", dots))
    circles = re.findall(r'<circle class="(\S.*?)" cx="(.*?)" cy="(.*?)" r="(.*?)"', text)
    found = [(css, *map(float, values)) for css, *values in circles]
    (first, x1, y1, r1), (second, x2, y2, r2) = found
    assert (first, second) == ("disc best", "disc")
    assert x1 < x2
    assert y1 < y2  # a higher accuracy is higher up
    assert r1 == pytest.approx(2 * r2)


def test_equal_values_can_be_drawn():
    scatter_chart("c", "T", "n", "ms", [Dot("a", 1, 0.5, 1.0, "", True)] * 3)


def test_numbers_do_not_touch_and_stay_inside():
    places = {number: (540.0 + number / 10, 100.0) for number in range(12)}
    found = dict(spread(places, WIDE))
    columns = sorted(x for x, _ in found.values())
    assert all(b - a >= 18.9 for a, b in pairwise(columns))
    assert columns[-1] <= WIDE.x(1) + 0.1
    assert {y for _, y in found.values()} == {68.0}

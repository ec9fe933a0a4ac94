import json
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reporting.builders import Page

from convsmith.reporting.charts import (
    Bar,
    LineChart,
    Mark,
    Series,
    bar_chart,
    line_chart,
    thin,
)

HOSTILE = '<script>alert("x")</script>&\'"'


def draw(*series, **options):
    return Page(str(line_chart(LineChart("c", "Loss", "epoch", series, **options))))


def paths(page, css="line"):
    return [each["d"] for each in page.all("path", css)]


def numbers(path):
    return [tuple(map(float, pair)) for pair in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)]


def test_points_lie_where_their_values_are():
    page = draw(Series("val", ((1, 0.0), (2, 5.0), (5, 10.0))))
    (left, bottom), (second, middle), (right, top) = numbers(paths(page)[0])
    assert (second - left) / (right - left) == pytest.approx(0.25, abs=1e-3)
    assert (bottom - middle) / (bottom - top) == pytest.approx(0.5, abs=1e-3)
    drawing = page.all("svg", "lines")[0]
    _, _, width, height = map(float, drawing["viewbox"].split())
    assert 0 < left < right < width
    assert 0 < top < bottom < height


def test_the_script_gets_the_places_that_are_drawn():
    page = draw(Series("val", ((1, 0.5), (2, 0.25))), kind="share")
    line = page.charts["c"]["lines"][0]
    assert [(x, y) for _, x, y, _ in line["points"]] == numbers(paths(page)[0])
    assert [words for *_, words in line["points"]] == ["50.00%", "25.00%"]


def test_a_logarithmic_axis_has_equal_distances_for_equal_ratios():
    page = draw(Series("val", ((1, 1.0), (2, 0.1), (3, 0.01))), log=True)
    heights = [y for _, y in numbers(paths(page)[0])]
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], abs=0.2)
    assert "log scale" in page.text


def test_a_logarithmic_axis_is_given_up_where_a_value_is_not_positive():
    page = draw(Series("val", ((1, 1.0), (2, 0.0))), log=True)
    assert "log scale" not in page.text


def test_missing_values_are_gaps_and_a_lone_value_is_a_dot():
    page = draw(Series("val", ((1, 1.0), (2, 2.0), (3, None), (4, 1.0), (5, None), (6, 3.0))))
    assert paths(page)[0].count("M") == 1
    assert len(page.all("circle", "dot")) == 2
    assert len(page.charts["c"]["lines"][0]["points"]) == 4


def test_one_point_is_a_dot_in_the_middle():
    page = draw(Series("val", ((1, 0.3),)))
    assert paths(page) == []
    (dot,) = page.all("circle", "dot")
    assert 64 < float(dot["cx"]) < 546


@pytest.mark.parametrize("points", [(), ((1, None), (2, None))])
def test_a_chart_without_a_value_says_so(points):
    page = draw(Series("val", points))
    assert "No values were logged" in page.text
    assert page.charts == {}


def test_names_are_escaped_and_spoken():
    page = draw(Series(HOSTILE, ((1, 1.0), (2, 0.5))), marks=(Mark(1.5, HOSTILE),))
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count("alert") == 2
    label = page.all("svg", "lines")[0]["aria-label"]
    assert label == f"Loss by epoch: {HOSTILE} from 1 to 0.5, 2 values"


def test_marks_outside_the_axis_are_left_out():
    page = draw(Series("val", ((1, 1.0), (9, 0.5))), marks=(Mark(3, "best"), Mark(20, "late")))
    assert "best" in page.text
    assert "late" not in page.text


def test_more_than_eight_lines_differ_by_their_dashes():
    points = ((1, 1.0), (2, 2.0))
    page = draw(*(Series(f"run {at}", points, at) for at in range(12)))
    drawn = [(each["stroke"], each["stroke-dasharray"]) for each in page.all("path", "line")]
    assert len(set(drawn)) == 12


@given(st.lists(st.none() | st.floats(-10, 10), max_size=3000))
def test_thinning_keeps_ends_extremes_gaps_and_order(values):
    points = tuple(enumerate(values))
    kept = thin(points, 100)
    assert len(kept) <= max(100 * 2, 3) if len(points) > 100 else kept == points
    assert list(kept) == sorted(set(kept), key=lambda point: point[0])
    if points:
        assert kept[0] == points[0]
        assert kept[-1] == points[-1]
    known = [value for value in values if value is not None]
    if known:
        shown = [y for _, y in kept if y is not None]
        assert (min(shown), max(shown)) == (min(known), max(known))
    assert (None in values) == (None in [y for _, y in kept])


def test_a_hundred_thousand_steps_are_a_small_drawing():
    points = tuple((step, 1 / (step + 1)) for step in range(100_000))
    chart = line_chart(LineChart("c", "Loss", "step", (Series("train", points),)))
    assert len(chart) < 60_000


def test_bars_are_as_long_as_their_values():
    bars = (Bar("cat → dog", 20, "20 images"), Bar(HOSTILE, 10, "10"), Bar("none", 0, "0"))
    page = Page(str(bar_chart("b", "Mistakes", bars)))
    widths = [float(each["width"]) for each in page.all("rect") if "fill" in each]
    assert widths == [460, 230, 0]
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.all("svg")[0]["aria-label"].startswith("Mistakes: cat → dog: 20 images;")


def test_no_bars_are_no_error():
    assert json.dumps(str(bar_chart("b", "Mistakes", ())))


def test_a_logarithmic_axis_across_has_equal_distances_for_equal_ratios():
    page = draw(Series("val", ((1e-5, 1.0), (1e-3, 2.0), (1e-1, 3.0))), log_x=True)
    places = [x for x, _ in numbers(paths(page)[0])]
    assert places[1] - places[0] == pytest.approx(places[2] - places[1], abs=0.2)
    assert "1e-5" in page.text


def test_faint_lines_are_drawn_behind_and_are_not_in_the_legend():
    clear, faint = (Series(n, ((1, 0.0), (2, 1.0)), faint=n == "raw") for n in ("smooth", "raw"))
    page = draw(clear, faint)
    assert [each["class"] for each in page.all("path", "line")] == ["line faint", "line"]
    assert "smooth" in page.text
    assert "raw" not in page.text


def test_words_of_marks_in_rows_do_not_overlap_and_the_drawing_grows_for_them():
    series = Series("val", ((1, 0.0), (9, 1.0)))
    marks = (Mark(3, "first"), Mark(3.1, "second", 1), Mark(3.2, "third", 2))
    page, plain = draw(series, marks=marks), draw(series)
    heights = [float(each["y"]) for each in reversed(page.all("text", "mark"))]  # the tallest first
    assert all(low - high > 13 for low, high in pairwise(heights))
    assert min(heights) > 0
    tall, low = (float(each.all("svg", "lines")[0]["viewbox"].split()[3]) for each in (page, plain))
    assert tall > low


def test_a_picture_file_is_whole_and_escaped(tmp_path):
    from convsmith.reporting.picture import write_picture

    series = (Series("a", ((1e-3, 2.0), (1.0, 1.0))), Series("b", ((1e-3, 1.0), (1.0, None))))
    chart = LineChart("c", HOSTILE, "rate", series, log_x=True, marks=(Mark(0.1, HOSTILE),))
    text = write_picture(tmp_path / "c.svg", chart).read_text()
    assert HOSTILE not in text
    assert "var(" not in text
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    words = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a", "b", HOSTILE, "rate", "0.001"} <= set(words)


def test_many_names_take_several_rows_above_the_drawing(tmp_path):
    from convsmith.reporting.picture import write_picture

    names = [f"steady: onnxruntime static, {number} threads" for number in range(10)]
    series = tuple(Series(each, ((1, 2.0), (8, 4.0))) for each in names)
    text = write_picture(tmp_path / "c.svg", LineChart("c", "t", "batch", series)).read_text()
    words = list(ElementTree.fromstring(text).iter("{http://www.w3.org/2000/svg}text"))
    found = {each.text: (float(each.get("x")), float(each.get("y"))) for each in words}
    assert all(found[each][0] + 8 * len(each) <= 760 for each in names)
    assert len({found[each] for each in names}) == len(names)
    assert max(found[each][1] for each in names) < found["4"][1]

from math import isclose

from tests.reporting.builders import Page

from convsmith.reporting.reliability import PLOT, Bin, Line, reliability_diagram


def bin_of(images, confidence, accuracy, low=0.8, high=0.9):
    return Bin(low, high, images, confidence, accuracy, 0.7, 0.95)


def dots(page):
    return [(float(d["cx"]), float(d["cy"]), float(d["r"])) for d in page.all("circle", "dot")]


def test_a_dot_lies_at_its_confidence_and_accuracy_and_is_as_large_as_it_has_images():
    bins = (bin_of(90, 0.25, 0.5), bin_of(10, 0.85, 0.85))
    page = Page(str(reliability_diagram("r", [Line("mine", 0, bins)])))
    (x, y, large), (other_x, other_y, small) = dots(page)
    assert isclose(x, PLOT.x(0.25), abs_tol=0.1)
    assert isclose(y, PLOT.y(0.5), abs_tol=0.1)
    assert large > 2 * small
    shares = [(px - PLOT.x(0)) / (PLOT.x(1) - PLOT.x(0)) for px in (other_x,)]
    heights = [(py - PLOT.y(0)) / (PLOT.y(1) - PLOT.y(0)) for py in (other_y,)]
    assert isclose(shares[0], heights[0], abs_tol=0.01)  # true confidences are on the diagonal


def test_the_band_is_of_the_last_line_and_words_tell_all_of_them():
    first, last = Line("first", 1, (bin_of(5, 0.3, 0.4),) * 3), Line("last", 0, (bin_of(5, 1, 1),))
    page = Page(str(reliability_diagram("r", [first, last])))
    (band,) = page.all("rect", "band")
    assert isclose(float(band["x"]), PLOT.x(0.8), abs_tol=0.1)
    assert isclose(float(band["y"]), PLOT.y(0.95), abs_tol=0.1)
    spoken = page.all("svg", "lines")[0]["aria-label"]
    assert "first: says 30.00%, right 40.00%" in spoken
    assert "last: says 100.00%, right 100.00%" in spoken
    assert [line["name"] for line in page.charts["r"]["lines"]] == ["first", "last"]

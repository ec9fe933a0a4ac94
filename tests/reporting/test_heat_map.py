import re

import pytest
from tests.reporting.builders import Page

from convsmith.reporting.heat_map import heat_map


def draw(classes, matrix):
    return Page(str(heat_map("m", classes, matrix)))


def squares(page, css):
    return [
        (float(x), float(y), float(each["fill-opacity"]))
        for each in page.all("path", css)
        for x, y in re.findall(r"M([\d.]+) ([\d.]+)", each["d"])
    ]


def test_cells_lie_in_the_row_of_the_truth_and_the_column_of_the_guess():
    page = draw(["cat", "dog"], [[7, 3], [0, 10]])
    data = page.charts["m"]
    left, top, cell = data["left"], data["top"], data["cell"]
    (x, y, _), *others = squares(page, "wrong")
    assert others == []
    assert (x, y) == pytest.approx((left + cell, top), abs=0.02)
    right = {(round(x), round(y)) for x, y, _ in squares(page, "right")}
    assert right == {(round(left), round(top)), (round(left + cell), round(top + cell))}
    assert data["rows"] == [[7, 3], [0, 10]]
    assert sorted(word for word in page.words if word.isdigit()) == ["10", "3", "7"]


def test_mistakes_are_darker_the_larger_their_share_of_the_class():
    page = draw(["a", "b", "c"], [[50, 50, 0], [0, 99, 1], [1, 0, 1]])
    shades = {(x, y): shade for x, y, shade in squares(page, "wrong")}
    assert len(shades) == 3
    assert sorted(shades.values())[0] < 0.3
    assert sorted(shades.values())[1:] == [1.0, 1.0]
    assert "strongest at 50.00%" in page.text


@pytest.mark.parametrize(
    ("size", "labels", "counts"),
    [(2, 4, 2), (12, 24, 12), (13, 26, 0), (25, 50, 0), (26, 0, 0), (100, 0, 0)],
)
def test_many_classes_are_shown_without_names_and_numbers(size, labels, counts):
    classes = [f"class-{at}" for at in range(size)]
    page = draw(classes, [[5 * (a == b) for a in range(size)] for b in range(size)])
    assert sum(word.startswith("class-") for word in page.words) == labels
    assert len(page.all("text", "count")) == counts
    assert page.charts["m"]["classes"] == classes
    assert f"{size} classes" in page.all("svg")[0]["aria-label"]


def test_a_hundred_full_classes_are_a_small_drawing():
    matrix = [[900 if a == b else 1 + (a + b) % 7 for a in range(100)] for b in range(100)]
    assert len(heat_map("m", [f"class {at}" for at in range(100)], matrix)) < 400_000


def test_hostile_long_and_empty_names_are_only_words():
    classes = ['<script>alert("x")</script>', "", "long " * 30]
    page = draw(classes, [[1, 1, 0], [0, 0, 0], [0, 0, 1]])
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.charts["m"]["classes"] == classes
    assert max(map(len, page.words)) < 80


def test_no_images_and_no_mistakes_are_said():
    assert "without an image" in draw(["a", "b"], [[0, 0], [0, 0]]).all("svg")[0]["aria-label"]
    assert "no mistakes" in draw(["a", "b"], [[4, 0], [0, 4]]).text


def test_an_order_moves_rows_and_columns_together_and_can_be_chosen():
    matrix = [[5, 1, 0], [0, 6, 2], [0, 0, 7]]
    orders = {"as in the data": [0, 1, 2], "turned": [2, 0, 1]}
    page = Page(str(heat_map("m", ["a", "b", "c"], matrix, orders, "turned")))
    plain = draw(["c", "a", "b"], [[7, 0, 0], [0, 5, 1], [2, 0, 6]])
    assert squares(page, "wrong") == squares(plain, "wrong")
    assert squares(page, "right") == squares(plain, "right")
    data = page.charts["m"]
    assert (data["rows"], data["classes"]) == (matrix, ["a", "b", "c"])
    assert (data["order"], data["orders"]) == ("turned", orders)
    pressed = [each["data-order"] for each in page.all("button") if "data-order" in each]
    assert pressed == ["as in the data", "turned"]
    assert "hidden" in page.all("div", "choices")[0]  # until the script shows them
    assert plain.all("button") == []

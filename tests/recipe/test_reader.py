"""YAML as recipes read it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convsmith.recipe.reader import parse_value, read_yaml, scalar


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("-3", -3),
        ("+4", 4),
        ("0.1", 0.1),
        ("1.", 1.0),
        ("010", 10),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2026-01-01", "2026-01-01"),
        ("0x10", "0x10"),
        ("'3'", "3"),
        ('"true"', "true"),
        ("[1, 2.5, no]", (1, 2.5, "no")),
        ("{a: {b: 1}}", {"a": {"b": 1}}),
        ("", None),
    ],
)
def test_a_value_is_what_it_looks_like(text, value):
    found = parse_value(text, "here")
    assert found == value
    assert type(found) is type(value)


def test_infinity_and_nan_are_numbers_and_left_to_validation():
    assert parse_value("-.inf", "here") == -math.inf
    assert math.isnan(parse_value(".NaN", "here"))


def test_every_value_knows_its_line(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("# a comment\nseed: 3\n\ntrain:\n  epochs: 4\n  checkpoint: {keep: 2}\n")
    places = {".".join(key): place.split(":")[-1] for key, place in read_yaml(path).places.items()}
    assert places["seed"] == "2"
    assert places["train"] == "4"
    assert places["train.epochs"] == "5"
    assert places["train.checkpoint.keep"] == "6"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_pythons_own_writing_of_a_number_reads_back(number):
    assert scalar(repr(number)) == number


@given(st.integers())
def test_whole_numbers_stay_whole(number):
    assert scalar(str(number)) == number
    assert type(scalar(str(number))) is int

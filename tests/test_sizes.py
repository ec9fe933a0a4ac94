"""Sizes as people write them."""

import pytest

from convsmith.errors import UserError
from convsmith.sizes import in_words, parse_memory, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("6GB", 6 * 2**30),
        ("6 GiB", 6 * 2**30),
        ("1.5gb", 3 * 2**29),
        ("800MB", 800 * 2**20),
        ("12 kb", 12 * 2**10),
        ("1TB", 2**40),
        (" 5B ", 5),
    ],
)
def test_sizes_are_read(text, size):
    assert parse_size(text) == size
    assert parse_memory(text) == size


@pytest.mark.parametrize(
    "text", ["6 gigs", "6", "GB", "-1GB", "6G", "0GB", "", "1e9", "nan GB", "\u0663GB"]
)
def test_what_is_no_size_is_said_to_be_none(text):
    with pytest.raises(UserError, match="6GB or 800MB"):
        parse_size(text)


@pytest.mark.parametrize("text", ["99999999999999999999GB", "9" * 400 + "TB", "1025TB"])
def test_more_than_any_machine_has_is_refused(text):
    with pytest.raises(UserError, match="is more than any machine has; say a size"):
        parse_memory(text)


@pytest.mark.parametrize(("text", "share"), [("90%", 0.9), ("100 %", 1.0), ("12.5%", 0.125)])
def test_shares_are_read(text, share):
    assert parse_memory(text) == share


@pytest.mark.parametrize("text", ["0%", "101%", "%", "-5%"])
def test_impossible_shares_are_refused(text):
    with pytest.raises(UserError):
        parse_memory(text)


def test_none_is_no_limit():
    assert parse_memory("none") is None
    assert parse_memory(" None ") is None


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (5, "5 B"),
        (2**14, "16 KiB"),
        (3 * 2**19, "1.5 MiB"),
        (2**28, "256 MiB"),
        (3 * 2**29, "1.50 GiB"),
    ],
)
def test_sizes_are_written(size, words):
    assert in_words(size) == words

"""What is left open in a recipe and gets settled on this machine."""

from pathlib import Path

import pytest
import torch

from convsmith.data import load_source
from convsmith.data.images import Images, Source
from convsmith.recipe.build import split
from convsmith.recipe.load import load_recipe
from convsmith.recipe.resolve import lasting, streams


def test_a_source_of_files_is_named_for_any_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/people/ann")
    assert lasting("folder:photos") == f"folder:{tmp_path}/photos"
    assert lasting("csv:~/list.csv") == "csv:/people/ann/list.csv"
    assert lasting("folder:/data/a:b") == "folder:/data/a:b"
    assert lasting("digits") == "digits"
    assert Path(lasting("folder:.").removeprefix("folder:")) == tmp_path


@pytest.mark.parametrize(("validation", "images"), [(0, 1797), (0.1, 1797)])
def test_what_does_not_fit_into_its_share_of_the_memory_is_read_from_the_disk(validation, images):
    recipe = load_recipe(
        "digits", sets=[f"data.validation={validation}", "data.loading.memory_share=0.5"]
    ).recipe
    parts = split(recipe, load_source("digits", None))
    needed = images * 64  # all three parts, a byte a pixel
    assert streams(recipe, parts, 2 * needed) == ("no", [])
    chosen, notes = streams(recipe, parts, 2 * needed - 2)
    assert chosen == "yes"
    assert "more than 50% of the" in notes[0]
    assert streams(recipe, parts, None) == ("no", [])  # what is free is not known


@pytest.mark.parametrize("said", ["yes", "no"])
def test_a_word_on_streaming_is_kept_whatever_is_free(said):
    recipe = load_recipe("digits", sets=[f"data.loading.stream={said}"]).recipe
    few = Images(torch.zeros(60, 1, 8, 8, dtype=torch.uint8), torch.arange(60) % 2)
    parts = split(recipe, Source("own", ("a", "b"), few, few, mirrored=False))
    for free in (0, 2**40):
        assert streams(recipe, parts, free) == (said, [])

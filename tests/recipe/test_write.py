"""Recipes written out read back equal."""

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from convsmith.models import MODELS
from convsmith.recipe.load import load_recipe
from convsmith.recipe.presets import preset_path, presets
from convsmith.recipe.write import json_schema, to_yaml
from convsmith.training.optimizers import OPTIMIZERS
from convsmith.training.schedules import SCHEDULES

RECIPES = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**63 - 1),
        "data": st.fixed_dictionaries(
            {
                "source": st.sampled_from(["digits", "mnist"]),
                "augment": st.sampled_from(["none", "light", {"crop": 2, "rotation": 0.1}]),
                "validation": st.floats(0.01, 0.9),
            }
        ),
        "model": st.sampled_from(sorted(MODELS.keys() - {"timm", "torchvision"})),
        "optimizer": st.fixed_dictionaries(
            {
                "name": st.sampled_from(sorted(OPTIMIZERS)),
                "learning_rate": st.floats(1e-300, 1e30),
                "weight_decay": st.floats(0, 1),
            }
        ),
        "schedule": st.sampled_from(sorted(SCHEDULES)),
        "train": st.fixed_dictionaries(
            {
                "epochs": st.integers(1, 10**6),
                # every text must come back as text, whatever it looks like
                "device": st.sampled_from(["no", "1e3", "null", "~", "", "0", "a: b", "# x", "é\n"])
                | st.text(max_size=8),
                "ema": st.none() | st.floats(0, 0.999),
                "early_stopping": st.none() | st.just({"metric": "top1", "patience": 2}),
            }
        ),
    }
)


@given(RECIPES)
def test_any_recipe_reads_back_equal(tmp_path_factory, values):
    recipe = load_recipe(values).recipe
    path = tmp_path_factory.getbasetemp() / "written.yaml"
    path.write_text(to_yaml(recipe), encoding="utf-8", newline="")
    assert load_recipe(path).recipe == recipe


@pytest.mark.parametrize("name", [preset.name for preset in presets()])
def test_every_preset_reads_back_equal(tmp_path, name):
    recipe = load_recipe(name).recipe
    (tmp_path / "written.yaml").write_text(to_yaml(recipe))
    assert load_recipe(tmp_path / "written.yaml").recipe == recipe


def complaints(text):
    found = Draft202012Validator(json_schema()).iter_errors(yaml.load(text, Loader=yaml.SafeLoader))
    return [".".join(map(str, error.absolute_path)) for error in found]


@pytest.mark.parametrize("name", [preset.name for preset in presets()])
def test_an_editor_finds_nothing_wrong_with_a_recipe_short_or_resolved(name):
    # PyYAML takes 3e-3 for text; editors and convsmith do not
    text = re.sub(r"e-\d", "", preset_path(name).read_text())
    assert complaints(text) == []
    assert complaints(to_yaml(load_recipe(name).recipe)) == []


def test_an_editor_finds_nothing_wrong_with_the_short_forms():
    assert complaints("{base: digits, model: mlp, train: {on_nonfinite: rollback}}") == []
    assert complaints("{optimizer: {learning_rate: 0.1}, data: {augment: light}}") == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("trian: {}", ""),
        ("train: {epochs: 0}", "train.epochs"),
        ("train: {epoch: 1}", "train"),
        ("model: mpl", "model"),
        ("optimizer: {name: sgd, beta1: 0.5}", "optimizer"),
        ("data: {validation: 2}", "data.validation"),
    ],
)
def test_an_editor_finds_a_mistake(text, place):
    assert complaints(text) == [place]


def test_the_published_schema_is_this_one():
    published = Path(__file__).parents[2] / "docs" / "recipe.schema.json"
    assert json.loads(published.read_text()) == json_schema()

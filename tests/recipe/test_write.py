"""Recipes written out read back equal."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convsmith.models import MODELS
from convsmith.recipe.load import load_recipe
from convsmith.recipe.presets import presets
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
                "validation": st.floats(0.01, 0.99),
            }
        ),
        "model": st.sampled_from(sorted(MODELS)),
        "optimizer": st.fixed_dictionaries(
            {
                "name": st.sampled_from(sorted(OPTIMIZERS)),
                "learning_rate": st.floats(1e-300, 1e300),
                "weight_decay": st.floats(0, 1),
            }
        ),
        "schedule": st.sampled_from(sorted(SCHEDULES)),
        "train": st.fixed_dictionaries(
            {
                "epochs": st.integers(1, 10**9),
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


def test_the_schema_names_every_section_option_and_limit():
    schema = json.loads(json.dumps(json_schema()))
    assert set(schema["properties"]) == {
        *("seed", "data", "model", "loss", "optimizer", "schedule", "train")
    }
    definitions = schema["$defs"]
    assert definitions["optimizer_muon"]["properties"]["newton_schulz_steps"]["minimum"] == 1
    assert definitions["model_mlp"]["properties"]["name"]["const"] == "mlp"
    assert definitions["Train"]["additionalProperties"] is False

"""The plan of a recipe: answered for every preset, on devices that are not here."""

import time

import pytest

import convsmith
from convsmith.errors import RecipeError, UserError
from convsmith.recipe.presets import presets

NAMES = [preset.name for preset in presets()]


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_has_a_plan_and_soon(name):
    started = time.perf_counter()
    plan = convsmith.plan(name, device="t4")
    assert time.perf_counter() - started < 15
    assert plan.parameters > 0
    assert plan.step_seconds > 0
    assert plan.memory.training >= plan.memory.inference > 0
    assert "fits in 14.40 GiB" in plan.answer
    assert any(each.best for each in plan.choices)


def test_what_does_not_fit_is_told_with_what_would():
    plan = convsmith.plan("cifar100-resnet", device="t4", memory="1GB", precision="fp32")
    assert "does not fit in 1.00 GiB" in plan.answer
    assert "use " in plan.answer
    assert "% memory)" in plan.answer
    chosen = next(each for each in plan.choices if each.fits)
    assert chosen.memory <= 2**30 < plan.memory.training


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"device": "t5"}, UserError, "no device is called 't5'"),
        ({"device": "t4", "memory": "6 gigs"}, UserError, "'6 gigs' is not a size"),
        ({"device": "t4", "sets": ["model.widths=3"]}, RecipeError, "must be a list"),
    ],
)
def test_mistakes_are_one_line(options, kind, said):
    with pytest.raises(kind, match=said):
        convsmith.plan("cifar10-vgg", **options)

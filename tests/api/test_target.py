"""A word that may be a run or a recipe."""

import os
import re

import pytest

import convsmith
from convsmith.api.target import run_meant
from convsmith.errors import RecipeError, RunError, UserError


@pytest.fixture
def runs(tmp_path):
    """Three runs, of which one is called as a preset is."""
    for name in ("slow-1", "digits-7", "mnist"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text('{"format": 1}')
    return tmp_path


def test_a_run_is_meant_by_its_name_or_folder(runs):
    for target in ("slow-1", str(runs / "slow-1"), runs / "slow-1"):
        assert run_meant(target, runs).path == runs / "slow-1"
    assert run_meant(runs / "mnist", None).path == runs / "mnist"


def test_a_recipe_is_no_run(runs):
    (runs / "my.txt").write_text("seed: 1")
    for target in ("mnist", "not-there.yaml", runs / "my.txt", {"model": "mlp"}):
        assert run_meant(target, runs) is None


@pytest.mark.parametrize(
    ("target", "meant"),
    [("slow1", "slow-1"), ("digits-8", "digits-7"), ("digit", "digits"), ("{runs}/slow", "slow-1")],
)
def test_the_nearest_of_runs_and_presets_is_named(runs, target, meant):
    target = target.format(runs=runs)
    said = re.escape(f"no run, preset or recipe file '{target}' (did you mean `{meant}`?); presets")
    for verb in (convsmith.diagnose, convsmith.plan):
        with pytest.raises(UserError, match=said) as raised:
            verb(target, runs=runs)
        assert not isinstance(raised.value, RecipeError)


def test_a_run_of_another_format_is_not_taken_for_a_recipe(runs):
    (runs / "slow-1" / "run.json").write_text('{"format": 99}')
    with pytest.raises(RunError, match="format 99"):
        run_meant("slow-1", os.fspath(runs))

"""Runs from a machine with a GPU, on one without: what is done with them works, and says so."""

import shutil

import pytest

import convsmith
from convsmith.api.elsewhere import for_this_machine
from convsmith.api.finetune import shortened
from convsmith.cli.main import main
from convsmith.errors import ResumeError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose recipe says what one of a ninth GPU would."""
    runs = tmp_path_factory.mktemp("runs")
    made = convsmith.train("digits", epochs=3, runs=runs, progress="none")
    text = made.folder.recipe.read_text()
    assert "device: cpu" in text
    text = text.replace("device: cpu", "device: cuda:9")
    for known in ("fp32", "bf16"):
        text = text.replace(f"precision: {known}", "precision: fp16")
    made.folder.recipe.write_text(text)
    return made


def test_a_recipe_for_a_device_that_is_here_stays_as_it_is(tmp_path):
    recipe = convsmith.load_recipe("digits").recipe
    assert for_this_machine(recipe) == (recipe, "")


def test_it_is_evaluated_in_fp32_and_that_is_said(run, capsys):
    found = convsmith.evaluate(run.path)
    assert found.score.top1 == pytest.approx(run.results.test.top1, abs=0.01)
    assert found.note.startswith("trained on cuda:9 in fp16; here on ")
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", str(run.path)])
    assert not ended.value.code
    assert "note: trained on cuda:9 in fp16" in capsys.readouterr().err


def test_it_is_diagnosed_predicted_with_explained_and_exported(run, tmp_path):
    convsmith.diagnose(run.path, images=200, progress="none")
    convsmith.explain(run.path, mistakes=True, count=1)
    assert convsmith.predict(run.path, ["docs/seven.png"]) is not None
    assert convsmith.export(run.path).verified.images == run.results.test.images


def test_its_labels_are_judged_by_networks_that_are_trained_here(run):
    found = convsmith.evaluate(run.path, label_errors=True, folds=2)
    assert found.label_errors.parts[0].folds == 2


def test_it_is_trained_on_in_fp32_by_what_compresses_it(run):
    shorter = shortened(run.recipe, {"name": "adamw", "learning_rate": 1e-4}, 1, 5)
    assert (shorter.train.device, shorter.train.precision) == ("cpu", "fp32")
    here = convsmith.load_recipe("digits", sets=["train.device=cpu", "train.precision=bf16"]).recipe
    assert shortened(here, {"name": "adamw"}, 1, 5).train.precision == "bf16"


def test_it_goes_on_only_if_it_need_not_be_bit_for_bit(run, tmp_path):
    convsmith.train(resume=run.path, progress="none")  # it is finished
    stopped = tmp_path / "stopped"
    shutil.copytree(run.path, stopped)
    (stopped / "results.json").unlink()
    newest = max((stopped / "checkpoints").glob("step-*"))
    shutil.rmtree(newest)
    with pytest.raises(ResumeError, match=r"trained on cuda:9 .* \(--inexact"):
        convsmith.train(resume=stopped, progress="none")
    again = convsmith.train(resume=stopped, inexact=True, progress="none")
    assert again.results.test.top1 == pytest.approx(run.results.test.top1, abs=0.05)

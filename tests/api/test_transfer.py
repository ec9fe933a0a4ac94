"""Fine-tuning from a run or a file, from recipe to result."""

import pytest
import torch
from safetensors.torch import load_file, save_file

import convsmith
from convsmith.data import load_source
from convsmith.data.images import Images, Source
from convsmith.errors import Interrupted, RecipeError, UserError

TUNED = {
    "data": {"source": "own", "validation": 0.2},
    "model": "digits_cnn",
    "transfer": {"head_epochs": 2, "backbone_rate": 0.1, "freeze_norm": True},
    "optimizer": {"name": "adamw", "learning_rate": 5e-3},
    "train": {"epochs": 4, "batch_size": 16, "precision": "fp32", "memory_format": "contiguous"},
}


def digits(labels, count):
    """Some of the digits, numbered from 0, few of them for training."""
    source = load_source("digits", None)

    def chosen(images, most):
        rows = [(images.labels == label).nonzero().flatten()[:most] for label in labels]
        pixels, _ = images.take(torch.cat(rows))
        numbers = [torch.full((len(row),), n) for n, row in enumerate(rows)]
        return Images(pixels, torch.cat(numbers))

    names = tuple(map(str, labels))
    train, test = chosen(source.train, count), chosen(source.test, 100)
    return Source("own", names, train, test, mirrored=False)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """A run that knows the digits from 0 to 4."""
    runs = tmp_path_factory.mktemp("backbone")
    return convsmith.train(
        "digits", data=digits(range(5), 1000), epochs=8, runs=runs, progress="none", name="five"
    )


def tune(tmp_path, weights, recipe=TUNED, **more):
    return convsmith.train(
        recipe,
        data=digits(range(5, 10), 8),
        weights=weights,
        runs=tmp_path,
        progress="none",
        **more,
    )


def test_from_a_run_beats_scratch(backbone, tmp_path):
    """With a backbone that may change; benchmarks/finetune.py measures it on photographs."""
    chosen = {"transfer": {"head_epochs": 1, "backbone_rate": 0.5}}
    tuned = tune(tmp_path, str(backbone.path), TUNED | chosen)
    scratch = tune(tmp_path, None, TUNED | {"transfer": {}})
    assert tuned.results.test.top1 > scratch.results.test.top1 + 0.03


def test_frozen_parts_are_byte_identical_to_the_weights_they_came_from(backbone, tmp_path):
    short = TUNED | {"train": TUNED["train"] | {"epochs": 2}}
    run = tune(tmp_path, str(backbone.path), short)
    before = load_file(backbone.path / "weights.safetensors")
    after = load_file(run.path / "weights.safetensors")
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert before.keys() - same == {"head.weight", "head.bias"}


def test_a_file_of_the_same_weights_gives_the_same_but_for_the_preprocessing(backbone, tmp_path):
    tensors = load_file(backbone.path / "weights.safetensors")
    save_file(tensors, tmp_path / "backbone.safetensors")
    data = {"mean": backbone.recipe.data.mean, "std": backbone.recipe.data.std}
    stated = TUNED | {"data": TUNED["data"] | data}
    from_file = tune(tmp_path, str(tmp_path / "backbone.safetensors"), stated)
    from_run = tune(tmp_path, str(backbone.path))
    files = [(run.path / "weights.safetensors").read_bytes() for run in (from_file, from_run)]
    assert files[0] == files[1]
    assert from_run.recipe.data.mean == backbone.recipe.data.mean


def test_it_resumes_to_the_same_bits_in_either_phase(backbone, tmp_path):
    whole = tune(tmp_path, str(backbone.path), name="whole")
    for steps in (1, 3):
        recipe = whole.recipe.model_dump(mode="json")
        recipe["train"]["checkpoint"]["every_steps"] = 1
        run = stopped(recipe, backbone, tmp_path / str(steps), steps)
        weights = [(each / "weights.safetensors").read_bytes() for each in (whole.path, run)]
        assert weights[0] == weights[1]


def stopped(recipe, backbone, runs, steps):
    """Train for some steps, lose the process, and go on."""
    from convsmith.api import drive

    original = drive.save_checkpoint

    def dies(parent, step, *rest):
        original(parent, step, *rest)
        if step == steps:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drive, "save_checkpoint", dies)
        with pytest.raises(Interrupted):
            tune(runs, str(backbone.path), recipe, name="run")
    data = digits(range(5, 10), 8)
    return convsmith.train(resume=runs / "run", data=data, progress="none").path


def test_killed_before_its_first_step_it_still_begins_with_those_weights(
    backbone, tmp_path, monkeypatch
):
    whole = tune(tmp_path, str(backbone.path), name="whole")
    data = digits(range(5, 10), 8)
    with monkeypatch.context() as patch:
        patch.setattr("convsmith.api.train.drive", lambda session: die())
        with pytest.raises(RuntimeError, match="killed"):
            tune(tmp_path, str(backbone.path), name="run")
    run = convsmith.train(resume=tmp_path / "run", data=data, progress="none")
    files = [(each.path / "weights.safetensors").read_bytes() for each in (whole, run)]
    assert files[0] == files[1]


def die():
    raise RuntimeError("killed")


def test_muon_too_can_train_the_head_first(backbone, tmp_path):
    recipe = TUNED | {"optimizer": "muon", "transfer": {"head_epochs": 1}}
    assert tune(tmp_path, str(backbone.path), recipe).results.epochs == 4


def test_weights_that_are_not_there_are_said(tmp_path):
    with pytest.raises(UserError, match=r"'nowhere' is no file, no run and not `hub`"):
        tune(tmp_path, "nowhere")
    assert not list(tmp_path.iterdir())


def test_mistakes_of_transfer_are_found_before_anything_runs(tmp_path):
    with pytest.raises(RecipeError, match="digits_cnn has no published weights"):
        tune(tmp_path, "hub")
    with pytest.raises(RecipeError, match="muon has rates of its own"):
        tune(tmp_path, None, TUNED | {"optimizer": "muon"})
    with pytest.raises(RecipeError, match="torchvision has no 'resnet19'"):
        tune(tmp_path, None, TUNED | {"model": "torchvision/resnet19"})


def test_another_networks_weights_are_refused_before_a_run_is_made(backbone, tmp_path):
    with pytest.raises(UserError, match="is of another network"):
        tune(tmp_path, str(backbone.path), TUNED | {"model": "mlp"})
    assert not list(tmp_path.iterdir())

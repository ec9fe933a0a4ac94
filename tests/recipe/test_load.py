"""Where a recipe's values come from, and what a changed name does to inherited ones."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from convsmith.errors import RecipeError
from convsmith.recipe.load import load_recipe
from convsmith.recipe.presets import presets

NAMES = [preset.name for preset in presets()]


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_loads_and_says_what_it_reached(name):
    recipe = load_recipe(name).recipe
    preset = next(preset for preset in presets() if preset.name == name)
    assert preset.about
    assert "%" in preset.reached or preset.reached.startswith("not measured")
    if "%" in preset.reached:  # a published accuracy belongs to one number format
        assert recipe.train.precision != "auto"


def test_later_sources_win(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("base: digits\nseed: 1\ntrain: {epochs: 2, batch_size: 2, log_every: 2}\n")

    def values(**more):
        recipe = load_recipe(path, **more).recipe
        return recipe.seed, recipe.train.epochs, recipe.train.batch_size, recipe.train.log_every

    flags = {"epochs": 3, "batch-size": 3, "seed": None}
    sets = ["train.batch_size=4", "train.log_every=4", "train.log_every=5"]
    assert values() == (1, 2, 2, 2)
    assert values(flags=flags) == (1, 3, 3, 2)
    assert values(flags=flags, sets=sets) == (1, 3, 4, 5)
    keywords = {"batch_size": 6}
    assert values(flags=flags, sets=sets, keywords=keywords) == (1, 3, 6, 5)
    assert load_recipe(path).recipe.model.widths == (32, 64)  # the base's


def test_the_short_names_of_python_lead_to_their_places():
    keywords = {
        "learning_rate": 0.5,
        "weight_decay": 0.25,
        "augmentation": "none",
        "validation": 0.5,
        "early_stopping": {"patience": 3},
        "loss": "mse",
        "ema": 0.9,
    }
    recipe = load_recipe("digits", keywords=keywords).recipe
    assert recipe.optimizer.learning_rate == 0.5
    assert recipe.optimizer.weight_decay == 0.25
    assert recipe.data.augment == "none"
    assert recipe.data.validation == 0.5
    assert recipe.train.early_stopping.patience == 3
    assert recipe.loss.name == "mse"
    assert recipe.train.ema == 0.9


def test_nothing_can_be_changed_afterwards():
    def parts(of):
        yield of
        for name in type(of).model_fields:
            if isinstance(getattr(of, name), BaseModel):
                yield from parts(getattr(of, name))

    recipe = load_recipe("digits", keywords={"early_stopping": {"patience": 2}}).recipe
    found = list(parts(recipe))
    assert len(found) == 14
    for part in found:
        for name in type(part).model_fields:
            with pytest.raises(ValidationError, match="frozen"):
                setattr(part, name, getattr(part, name))


def test_a_new_model_drops_what_it_does_not_have_and_says_so():
    loaded = load_recipe("digits", sets=["model.name=resnet_small"])
    assert loaded.recipe.model.name == "resnet_small"
    assert loaded.recipe.model.dropout == 0.2  # both have it
    loaded = load_recipe("mnist", sets=["model.name=mlp"])
    assert loaded.recipe.model.options == {"widths": (256, 128), "dropout": 0.5}
    assert loaded.notes == ()
    loaded = load_recipe("moons", sets=["model.name=vgg_bn"])
    assert len(loaded.notes) == 1
    assert "model.widths=[64, 32]" in loaded.notes[0]
    assert "does not fit vgg_bn and is dropped" in loaded.notes[0]


def test_a_new_optimizer_drops_and_warns_of_the_inherited_rate():
    loaded = load_recipe("digits", sets=["optimizer.name=sgd"])
    assert loaded.recipe.optimizer.learning_rate == 3e-3
    assert loaded.notes == (
        "optimizer.learning_rate=0.003 was chosen for adamw; sgd usually takes 0.1",
    )
    typed = load_recipe("digits", sets=["optimizer.name=sgd", "optimizer.learning_rate=0.1"])
    assert typed.notes == ()


def test_an_option_that_the_new_name_lacks_is_dropped_and_said(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text("base: digits\noptimizer: {name: adam, beta1: 0.8}\n")
    Path("my.yaml").write_text("base: base.yaml\noptimizer: {name: sgd, learning_rate: 0.1}\n")
    loaded = load_recipe("my.yaml")
    assert "beta1" not in loaded.recipe.optimizer.options
    assert loaded.notes[1:] == ("sgd has no optimizer.beta1; the one of base.yaml:2 is dropped",)


def test_what_was_typed_is_never_dropped(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("base: digits\noptimizer: {name: sgd, beta1: 0.5}\n")
    with pytest.raises(RecipeError, match=r"mine.yaml:2: optimizer.beta1: is not known"):
        load_recipe(path)
    with pytest.raises(RecipeError, match=r"optimizer.beta2: is not known"):
        load_recipe("digits", sets=["optimizer.name=sgd", "optimizer.beta2=0.5"])


def test_augmentation_is_replaced_whole_but_set_one_by_one(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("base: digits\ndata: {augment: {flip: 0.5}}\n")
    assert load_recipe(path).recipe.data.augment.rotation == 0
    one = load_recipe("digits", sets=["data.augment.rotation=5"]).recipe.data.augment
    assert (one.crop, one.rotation) == (1, 5)


def test_a_mapping_is_a_recipe():
    loaded = load_recipe({"data": {"source": "digits"}, "model": {"name": "mlp", "widths": [3]}})
    assert loaded.recipe.model.widths == (3,)
    assert loaded.recipe.optimizer.name == "adam"
    assert loaded.recipe.schedule.name == "constant"


def test_on_nonfinite_may_be_one_word():
    rule = load_recipe("digits", sets=["train.on_nonfinite=rollback"]).recipe.train.on_nonfinite
    assert (rule.action, rule.rate_factor, rule.at_most) == ("rollback", 0.5, 3)


def test_a_short_form_does_not_stand_in_the_way_of_its_options(tmp_path):
    word, option = "train.on_nonfinite=rollback", "train.on_nonfinite.at_most=2"
    path = tmp_path / "mine.yaml"
    path.write_text("base: digits\ntrain: {on_nonfinite: rollback}\n")
    for source, sets in ((path, [option]), ("digits", [word, option]), ("digits", [option, word])):
        rule = load_recipe(source, sets=sets).recipe.train.on_nonfinite
        assert (rule.action, rule.at_most) == ("rollback", 2)
    for sets in (["model=mlp", "model.dropout=0.5"], ["model.dropout=0.5", "model=mlp"]):
        model = load_recipe("digits", sets=sets).recipe.model
        assert (model.name, model.dropout) == ("mlp", 0.5)


def test_an_option_can_be_set_without_naming_what_is_the_default():
    source = {"data": {"source": "digits"}, "model": "mlp", "optimizer": {"beta1": 0.5}}
    recipe = load_recipe(source, flags={"lr": 0.25}).recipe
    assert (recipe.optimizer.name, recipe.optimizer.learning_rate) == ("adam", 0.25)
    assert recipe.optimizer.beta1 == 0.5


def test_the_large_cifar100_recipe_is_as_published_in_its_python_form():
    keywords = {
        "epochs": 150,
        "batch_size": 256,
        "learning_rate": 0.1,
        "augmentation": "moderate",
    }
    loaded = load_recipe("cifar100-resnet", keywords=keywords)
    assert loaded.notes == ()
    recipe = loaded.recipe
    assert recipe == load_recipe("cifar100-resnet").recipe
    assert (recipe.model.name, recipe.model.dropout) == ("resnet_wide3", 0.3)
    chosen = recipe.optimizer
    assert (chosen.name, chosen.momentum, chosen.weight_decay) == ("nesterov", 0.9, 5e-4)
    assert (recipe.schedule.name, recipe.schedule.warmup_epochs) == ("cosine", 5)
    assert (recipe.loss.label_smoothing, recipe.train.clip_norm) == (0.1, 1.0)
    levels = recipe.data.levels
    assert [levels[name].rotation for name in ("light", "moderate", "strong")] == [5, 10, 15]
    for level in levels.values():
        assert min(level.crop, level.flip, level.brightness, level.translation) > 0
    assert [level.cutout > 0 for level in levels.values()] == [False, False, True]


def test_the_vgg_recipe_is_as_published():
    recipe = load_recipe("cifar10-vgg").recipe
    assert recipe.schedule.milestones == (25, 40)
    assert (recipe.schedule.gamma, recipe.train.epochs, recipe.train.batch_size) == (0.1, 50, 128)
    chosen = recipe.optimizer
    assert (chosen.name, chosen.learning_rate) == ("momentum", 0.1)
    assert (chosen.momentum, chosen.weight_decay) == (0.9, 5e-4)
    found = recipe.data.augment
    assert (found.crop, found.flip) == (4, 0.5)
    assert (found.brightness, found.contrast, found.saturation) == (0.2, 0.2, 0.2)


def test_a_network_of_another_library_is_written_in_one_word():
    for recipe in (
        load_recipe("cifar10-vgg", keywords={"model": "torchvision/resnet50"}).recipe,
        load_recipe("cifar10-vgg", sets=["model.name=torchvision/resnet50"]).recipe,
        load_recipe({"data": {"source": "cifar10"}, "model": "torchvision/resnet50"}).recipe,
    ):
        assert (recipe.model.name, recipe.model.architecture) == ("torchvision", "resnet50")

"""What is said of wrong recipes: all of it, in order, word for word."""

from dataclasses import fields
from pathlib import Path

import pytest

from convsmith.data import SOURCES
from convsmith.data.augment import LEVELS, Augment
from convsmith.errors import RecipeError
from convsmith.models import MODELS
from convsmith.recipe.load import load_recipe
from convsmith.recipe.presets import presets
from convsmith.recipe.schema import Recipe, Train

KNOWN = {  # lists that grow, written as {sources} in the file
    "sources": [*SOURCES, "folder:PATH", "csv:PATH"],
    "levels": LEVELS,
    "models": MODELS,
    "sections": Recipe.model_fields,
    "train": Train.model_fields,
    "operations": [field.name for field in fields(Augment)],
    "presets": [preset.name for preset in presets()],
}


def cases():
    text = (Path(__file__).parent / "mistakes.txt").read_text()
    for case in text.split("\n## ")[1:]:
        title, body = case.split("\n", 1)
        recipe, mistakes = body.split("=>\n")
        for name, known in KNOWN.items():
            mistakes = mistakes.replace(f"{{{name}}}", ", ".join(known))
        yield pytest.param(recipe, mistakes.strip().splitlines(), id=title)


def mistakes_of(source, **more):
    with pytest.raises(RecipeError) as caught:
        load_recipe(source, **more)
    assert caught.value.exit_code == 2
    return [str(mistake) for mistake in caught.value.mistakes]


@pytest.mark.parametrize(("recipe", "expected"), list(cases()))
def test_every_mistake_of_a_file_is_reported(monkeypatch, tmp_path, recipe, expected):
    monkeypatch.chdir(tmp_path)
    Path("my.yaml").write_text(recipe)
    assert mistakes_of("my.yaml") == expected


def test_there_are_enough_of_them():
    assert len(list(cases())) >= 40


def test_mistakes_of_all_sources_come_together(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("my.yaml").write_text("data: {source: digits, validation: 2}\nmodel: mlp\n")
    found = mistakes_of(
        "my.yaml",
        flags={"lr": -1.0, "batch-size": 0},
        sets=["trian.epochs=3", "model.widths=5", "oops", "seed={"],
        keywords={"epoch": 3, "max_steps": 0},
    )
    sections = ", ".join(Recipe.model_fields)
    assert found == [
        "--batch-size: train.batch_size: must be at least 1, got 0",
        "--lr: optimizer.learning_rate: must be greater than 0, got -1.0",
        "--set: oops: must be written path=value",
        "--set model.widths=5: model.widths: must be a list, got 5",
        "--set seed={: YAML: expected the node content, but found '<stream end>'",
        f"--set trian.epochs=3: trian: is not known — did you mean `train`? known: {sections}",
        "keyword epoch: epoch: is not known — did you mean `epochs`?",
        "keyword max_steps: train.max_steps: must be at least 1, got 0",
        "my.yaml:1: data.validation: must be at most 0.9, got 2",
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("mnits", "mnits: there is no such preset or file — did you mean `mnist`?"),
        ("my.yaml", "my.yaml: there is no such file"),
        (
            "base.yaml",
            "base.yaml:1: digts: there is no such preset or file — did you mean `digits`?",
        ),
        ("a\0b.yaml", "a\0b.yaml: cannot be read: embedded null byte"),
        ("none.yaml", "none.yaml:1: base: must be a preset or a file"),
        ("tag.yaml", "tag.yaml:1: seed: tags such as tag:yaml.org,2002:str are not read"),
        ("folder.yaml", "folder.yaml: is a folder, not a recipe file"),
        ("bytes.yaml", "bytes.yaml: cannot be read: 'utf-8' codec can't decode"),
    ],
)
def test_a_recipe_that_is_not_there_is_said_with_the_nearest(
    monkeypatch, tmp_path, source, expected
):
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text("base: digts\n")
    Path("none.yaml").write_text("base:\n")
    Path("tag.yaml").write_text("seed: !!str 3\n")
    Path("folder.yaml").mkdir()
    Path("bytes.yaml").write_bytes(b"seed: \xff\n")
    found = mistakes_of(source)
    assert len(found) == 1
    assert found[0].startswith(expected)


def test_keywords_by_their_flags_name_get_their_own():
    assert mistakes_of("digits", keywords={"lr": 0.1}) == [
        "keyword lr: lr: is not known — did you mean `learning_rate`?"
    ]


def test_flags_by_their_keywords_name_get_their_own():
    assert mistakes_of("digits", flags={"learning_rate": 0.1}) == [
        "--learning_rate: learning_rate: is not known — did you mean `lr`?"
    ]

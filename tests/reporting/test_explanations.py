"""Explanations in a run's page: what is shown, and what is damaged."""

import json

from tests.reporting.builders import make_run, png, read_page

from convsmith.reporting.report import write_report

HOSTILE = '<script>alert("x")</script>'


def add(run, name="mistakes-grad-cam", strip="explain/strips/one.png", **changed):
    folder = run.path / "explain"
    (folder / "strips").mkdir(parents=True, exist_ok=True)
    (folder / "strips" / "one.png").write_bytes(png(12, 4))
    explanation = {
        "strip": strip,
        "where": "image 3",
        "label": "cat",
        "guess": "dog",
        "probability": 0.91,
        "target": "dog",
        "target_probability": 0.91,
        "faithful": True,
        "words": "Faithful: as it should be.",
        "figures": "deletion 0.10 (elsewhere 0.50)",
    } | changed
    told = {"title": "The surest mistakes", "method": "grad-cam at stage4", "words": "All good."}
    path = folder / f"{name}.json"
    path.write_text(json.dumps(told | {"explanations": [explanation]}))
    return path


def test_a_page_without_explanations_has_no_section(tmp_path):
    page = read_page(write_report(make_run(tmp_path, "run")))
    assert "explanations" not in page.ids


def test_explanations_are_shown_with_their_words(tmp_path):
    run = make_run(tmp_path, "run")
    add(run)
    add(
        run,
        "class-cat-occlusion",
        label="owl",
        target="owl",
        target_probability=0.05,
        faithful=False,
    )
    page = read_page(write_report(run))
    assert page.ids.count("explanations") == 1
    for words in (
        "The surest mistakes, by grad-cam at stage4", "All good.", "dog 91.00%", "is cat",
        "the map is for owl, 5.00%", "Faithful: as it should be.", "image 3", "deletion 0.10",
    ):  # fmt: skip
        assert words in page.text, words
    assert page.text.index("91.00%") < page.text.index("is owl")  # mistakes come first
    assert len(page.all("img")) == 2
    assert all(each.startswith(("data:", "#")) for each in page.addresses)


def test_what_is_damaged_or_gone_is_said(tmp_path):
    run = make_run(tmp_path, "run")
    add(run).write_text("{}")
    add(run, "no-strip", strip="explain/strips/two.png")
    add(run, "outside", strip="../../secret.png")
    page = read_page(write_report(run))
    assert "mistakes-grad-cam.json is damaged" in page.text
    assert page.text.count("no image") == 2


def test_nothing_of_a_file_is_taken_for_markup(tmp_path):
    run = make_run(tmp_path, "run")
    add(
        run,
        words=HOSTILE,
        figures=HOSTILE,
        label=HOSTILE,
        guess=HOSTILE,
        where=HOSTILE,
        target=HOSTILE,
    )
    path = write_report(run)
    assert HOSTILE not in path.read_text()
    assert HOSTILE in read_page(path).text

import json
import os
import subprocess
import sys

import pytest
from tests.reporting.builders import (
    RECIPE,
    add_extras,
    chart_lines,
    epoch,
    make_run,
    png,
    read_page,
    results,
    write_events,
    write_mistakes,
)

import convsmith
from convsmith.errors import WriteError
from convsmith.reporting.report import write_report

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>'


def report(run):
    return read_page(write_report(run))


def test_a_finished_run_shows_everything(tmp_path):
    run = make_run(tmp_path, "mine")
    add_extras(run)
    assert write_report(run) == run.path / "report.html"
    page = report(run)
    for words in (
        "mine", "finished", "digits_cnn on digits", "23 Nov 2026, 21:07 UTC",
        "99.31%", "69 of 10,000 images wrong", "99.99%", "0.02431", "98.41%", "99.17%",
        "1 min 49 s", "5,218", "184,586", "722 KiB", "838 MiB", "best was 2",
        "cat → dog 2 (20.00%)", "most often taken for", "is cat", "98.00%", "image 17",
        "As the network sees them", "learning_rate: 0.003", "convsmith train digits --epochs 3",
        "--name mine-again", "2.14.1",
    ):  # fmt: skip
        assert words in page.text, words
    assert page.ids.count("confusion") == 1
    assert len(page.all("img")) == 3


def test_the_curves_are_the_logged_values(tmp_path):
    page = report(make_run(tmp_path, "run"))
    loss = chart_lines(page, "loss")
    assert loss["training"] == [(1, "1"), (2, "0.5"), (3, "0.3333")]
    assert loss["validation"] == [(1, "1.5"), (2, "0.75"), (3, "0.5")]
    accuracy = chart_lines(page, "accuracy")
    assert accuracy["validation top-1"][0] == (1, "85.00%")
    assert set(accuracy) == {"training top-1", "validation top-1", "validation top-5"}
    assert chart_lines(page, "learning-rate")["Learning rate"][-1] == (30, "0.003")
    assert chart_lines(page, "throughput")["Throughput"][0] == (5, "5,005 images/s")
    assert chart_lines(page, "memory")["in use"][0] == (5, "512 MiB")


def test_a_real_training_has_a_page(tmp_path):
    fixed = ["train.precision=fp32", "train.memory_format=contiguous"]  # nothing to measure
    place = {"name": "real", "runs": tmp_path, "progress": "none"}
    run = convsmith.train("digits", epochs=2, sets=fixed, **place)
    page = report(run.folder)
    measured = [(e["epoch"], e["val"]["top1"]) for e in run.metrics if e["event"] == "epoch"]
    shown = chart_lines(page, "accuracy")["validation top-1"]
    assert shown == [(epoch, f"{top1:.2%}") for epoch, top1 in measured]
    assert f"{run.results.test.top1:.2%}" in page.text
    assert "damaged" not in page.text


def test_the_classes_are_listed_worst_first_and_those_without_images_last(tmp_path):
    run = make_run(tmp_path, "run")
    add_extras(run, ("cat", "dog", "owl"), ((9, 1, 0), (5, 5, 0), (0, 0, 0)))
    page = report(run)
    table = [each["data-value"] for each in page.all("th") if "data-value" in each]
    assert table == ["dog", "cat", "owl"]
    assert "dog 50.00% 5 10 cat 5×" in page.text


def test_a_run_that_was_stopped_says_how_far_it_came(tmp_path):
    run = make_run(tmp_path, "run", epochs=2, finished=False)
    page = report(run)
    assert "stopped at step 20, no results" in page.text
    assert "Epochs done 2 of 3" in page.text
    assert f"convsmith train --resume {run.path}" in page.text
    assert page.all("progress")[0]["value"] == "0.6667"
    assert {"classes", "mistakes", "samples"}.isdisjoint(page.ids)
    assert chart_lines(page, "loss")["training"] == [(1, "1"), (2, "0.5")]


HOLDER = """
import sys
from convsmith.runs.folder import RunFolder
with RunFolder.open(sys.argv[1]).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_run_that_another_process_trains_is_running(tmp_path):
    run = make_run(tmp_path, "run", epochs=1, finished=False)
    command = [sys.executable, "-c", HOLDER, str(run.path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        text = report(run).text
        holder.kill()
    assert "running" in text
    assert "still training, at step 10" in text
    assert "stopped" in report(run).text


def test_looking_at_a_run_makes_no_file_but_the_report(tmp_path):
    run = make_run(tmp_path, "run", finished=False)
    before = set(run.path.iterdir())
    write_report(run)
    assert set(run.path.iterdir()) - before == {run.path / "report.html"}


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_without_a_metric_has_a_page(tmp_path, finished):
    run = make_run(tmp_path, "run", epochs=0, finished=finished)
    text = report(run).text
    assert "No epoch has ended yet" in text
    run.metrics.unlink()
    assert report(run).text.split("page written")[0] == text.split("page written")[0]


def test_one_epoch_is_dots(tmp_path):
    page = report(make_run(tmp_path, "run", epochs=1))
    assert chart_lines(page, "loss")["training"] == [(1, "1")]
    assert len(page.all("circle", "dot")) >= 5


def test_missing_values_are_gaps_and_dashes(tmp_path):
    run = make_run(tmp_path, "run", epochs=0)
    events = [*epoch(1), *epoch(2), *epoch(3)]
    events[5]["train"]["loss"] = None
    events[5]["val"] = None
    write_events(run, events)
    page = report(run)
    assert chart_lines(page, "loss")["training"] == [(1, "1"), (3, "0.3333")]
    assert "2 – 95.00% – – –" in page.text


def test_a_run_without_validation_shows_training_alone(tmp_path):
    run = make_run(tmp_path, "run", epochs=0)
    write_events(run, [event | {"val": None} for event in epoch(1)])
    run.results.write_text(json.dumps(results(run) | {"val": None, "trained_on_all": True}))
    page = report(run)
    assert "trained on all images" in page.text
    assert set(chart_lines(page, "accuracy")) == {"training top-1"}


def test_top_5_of_five_classes_is_left_out(tmp_path):
    run = make_run(tmp_path, "run")
    run.model.write_text('{"name": "mlp", "classes": ["a", "b"]}')
    page = report(run)
    assert "Test top-5" not in page.text
    assert "validation top-5" not in chart_lines(page, "accuracy")


def test_rollbacks_are_told_and_marked(tmp_path):
    run = make_run(tmp_path, "run", epochs=0)
    back = {"event": "rollback", "step": 17, "to": 10, "where": "in `stem.conv`"}
    write_events(run, [*epoch(1), back, *epoch(2)])
    text = report(run).text
    assert "Step 17 was not finite, first in `stem.conv`. Training went back to step 10" in text
    assert "rolled back" in text


def test_memory_that_ran_out_is_told(tmp_path):
    run = make_run(tmp_path, "run", epochs=0)
    finer = {"event": "out_of_memory", "step": 3, "accumulate": 4, "images": 32}
    write_events(run, [finer, *epoch(1)])
    page = report(run)
    assert "Memory ran out in step 3, which was made again. From it on each batch is" in page.text
    assert "4 micro-batches of up to 32 images" in page.text
    assert set(chart_lines(page, "memory")) == {"in use", "most so far"}


def test_a_network_of_your_own_is_said_to_be_in_no_recipe(tmp_path):
    run = make_run(tmp_path, "run")
    run.model.write_text('{"name": null, "classes": ["a"]}')
    assert "a module of your own" in report(run).text


def test_a_finished_run_says_which_optional_files_are_not_there(tmp_path):
    text = report(make_run(tmp_path, "run")).text
    for name in ("confusion.json", "mistakes.json", "figures/samples.png"):
        assert name in text


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("confusion.json", "{", "confusion.json is damaged"),
        ("confusion.json", "[]", "confusion.json is damaged"),
        ("confusion.json", '{"part": "test", "classes": [], "matrix": []}', "is damaged"),
        ("confusion.json", '{"part": "t", "classes": ["a", "b"], "matrix": [[1]]}', "2 × 2"),
        ("confusion.json", '{"part": "t", "classes": ["a"], "matrix": [[-1]]}', "1 × 1"),
        ("confusion.json", '{"part": "t", "classes": ["a"], "matrix": [["x"]]}', "matrix.0.0"),
        ("mistakes.json", '{"part": "test"}', "mistakes.json is damaged: mistakes"),
        ("mistakes.json", "\0", "mistakes.json is damaged"),
        ("figures/samples.png", "no picture", "As the network sees them"),
        ("recipe.yaml", "a: [", "recipe.yaml is damaged"),
        ("recipe.yaml", "a: &x {b: *x}", "recipe.yaml is damaged"),
        ("environment.json", "[]", "environment.json is damaged"),
        ("model.json", "null", "model.json is damaged"),
        ("results.json", "{}", "results.json is damaged"),
        ("metrics.jsonl", "x\ny\n", "2 lines could not be read"),
    ],
)
def test_a_damaged_file_costs_its_section_only(tmp_path, name, content, words):
    run = make_run(tmp_path, "run")
    add_extras(run)
    (run.path / name).write_text(content)
    page = report(run)
    assert words in page.text
    assert "To train the same again" in page.text


@pytest.mark.parametrize("name", ["recipe.yaml", "environment.json"])
def test_a_missing_file_is_said(tmp_path, name):
    run = make_run(tmp_path, "run")
    (run.path / name).unlink()
    assert f"{name} is missing" in report(run).text


def test_damage_shows_even_before_the_end_of_a_run(tmp_path):
    run = make_run(tmp_path, "run", finished=False)
    (run.path / "confusion.json").write_text("{")
    assert "confusion.json is damaged" in report(run).text


def test_hostile_names_are_only_words(tmp_path):
    recipe = RECIPE.replace("digits_cnn", f"'{HOSTILE}'") + f"# {HOSTILE}\n"
    run = make_run(tmp_path, "run", recipe)
    add_extras(run, (HOSTILE, "</style>", "{{ 7 * 7 }}"))
    run.environment.write_text(json.dumps({"started": HOSTILE, "command": HOSTILE, "exact": {}}))
    back = {"event": "rollback", "step": 1, "to": 0, "where": HOSTILE}
    write_events(run, [back, *epoch(1)])
    page = report(run)
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not [values for _, values in page.tags if "onerror" in values]
    assert page.text.count(HOSTILE) > 5
    assert "{{ 7 * 7 }}" in page.text


def test_images_come_from_the_run_folder_only(tmp_path):
    run = make_run(tmp_path, "run")
    add_extras(run)
    (tmp_path / "secret.png").write_bytes(png())
    (run.path / "link.png").symlink_to(tmp_path / "secret.png")
    (run.path / "cut.png").write_bytes(png()[:-6])
    (run.path / "text.png").write_text("<svg onload=alert(1)>")
    names = ["../secret.png", str(tmp_path / "secret.png"), "link.png", "cut.png", "text.png",
             "", ".", "a\0b", "x" * 5000, "gone.png"]  # fmt: skip
    write_mistakes(run, [{"image": name, "label": "cat", "guess": "dog"} for name in names])
    page = report(run)
    assert len(page.all("img")) == 2  # the two sheets
    assert page.text.count("no image") == len(names)


def test_small_pictures_keep_their_pixels_and_large_ones_are_smoothed(tmp_path):
    run = make_run(tmp_path, "run")
    add_extras(run)
    (run.path / "figures" / "samples.png").write_bytes(png(2000, 2))
    samples, augmented = report(run).all("img")[1:]
    assert (samples["class"], samples["width"]) == ("", "2000")
    assert (augmented["class"], augmented["width"]) == ("pixels", "640")


def test_a_hundred_classes_are_shown(tmp_path):
    run = make_run(tmp_path, "run")
    names = [f"class {number}" for number in range(100)]
    add_extras(run, names, [[9 if a == b else (a + b) % 2 for a in range(100)] for b in range(100)])
    page = report(run)
    assert page.charts["confusion"]["classes"] == names
    assert len(write_report(run).read_bytes()) < 600_000


def test_a_thousand_classes_are_a_table(tmp_path):
    run = make_run(tmp_path, "run")
    size = 300
    add_extras(
        run, list(map(str, range(size))), [[int(a == b) for a in range(size)] for b in range(size)]
    )
    page = report(run)
    assert "too large for a picture" in page.text
    assert "confusion" not in page.charts


def test_the_page_changes_whole_or_not_at_all(tmp_path):
    run = make_run(tmp_path, "run")
    path = write_report(run)
    before = path.read_bytes()
    path.with_name(path.name).replace(tmp_path / "page")
    path.mkdir()  # root may write anywhere, but not a file over a folder
    with pytest.raises(WriteError, match=r"cannot write .*report\.html"):
        write_report(run)
    assert list(path.iterdir()) == []
    assert (tmp_path / "page").read_bytes() == before


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_folder_whose_name_is_no_text_has_a_page(tmp_path):
    run = make_run(tmp_path, "run")
    odd = run.path.rename(tmp_path / os.fsdecode(b"odd-\xff"))
    assert "odd-?" in report(type(run).open(odd)).text


def test_the_command_that_reproduces_a_run_has_what_was_said_beside_its_recipe(tmp_path):
    run = make_run(
        tmp_path, "mine", RECIPE.replace("source: digits", "source: own"), finished=False
    )
    kept = json.loads(run.environment.read_text())
    said = {"start_from": "/runs/first one", "data_root": "/data"}
    run.environment.write_text(json.dumps(kept | said))
    text = report(run).text
    assert "--name mine-again --from '/runs/first one' --data-root /data" in text
    assert f"--resume {run.path} --data-root /data" in text
    assert "The data are your own" in text
    run.environment.write_text(json.dumps(kept))
    assert "--from" not in report(run).text

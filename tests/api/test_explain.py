"""``explain`` from end to end: pictures, figures, the run's page, and mistakes of the user."""

import json
import shutil

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tests.insight.snapshot import Case, changes, snapshot
from tests.reporting.builders import read_page

import convsmith
from convsmith.cli.main import main
from convsmith.data import load_source
from convsmith.errors import CheckpointError, DamagedError, DataError, UserError
from convsmith.runs.folder import RunFolder

QUICK = ["train.precision=fp32", "train.memory_format=contiguous"]  # nothing to measure


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A training on digits that is too short to know them all."""
    runs = tmp_path_factory.mktemp("runs")
    return convsmith.train("digits", epochs=2, sets=QUICK, runs=runs, progress="none")


@pytest.fixture
def photo(tmp_path):
    """A digit of the test part as a file."""
    pixels, labels = load_source("digits", None).test.take(torch.arange(1))
    Image.fromarray(pixels[0, 0].numpy()).save(tmp_path / f"a {int(labels[0])}?.png")
    return tmp_path / f"a {int(labels[0])}?.png"


def call(capsys, *words):
    with pytest.raises(SystemExit) as exit:
        main([str(word) for word in words])
    return exit.value.code, capsys.readouterr()


def test_an_image_is_explained(run, photo):
    found = convsmith.explain(run.path, photo)
    (one,) = found.explanations
    guess = convsmith.load(run.path).predict(photo).guesses[0]
    assert (one.guess, one.target, one.label) == (guess.label, guess.label, None)
    assert one.probability == pytest.approx(guess.probability, abs=1e-6)
    assert found.layer == "stage2.5"
    assert found.page is None
    assert one.picture.parent == run.path / "explain"
    with Image.open(one.picture) as picture:
        assert picture.format == "PNG"
        assert picture.width > 3 * 224
    assert one.faithfulness.deletion <= 1
    assert next(iter(found.shuffled)) == "head"
    again = convsmith.explain(run.path, [photo, photo], check=False)
    assert len({each.picture for each in again.explanations}) == 2
    assert again.explanations[0].faithfulness is None


def test_mistakes_go_into_the_page(run):
    stored = json.loads((run.path / "mistakes.json").read_text())["mistakes"]
    assert len(stored) >= 3, "the training was too good for this test"
    found = convsmith.explain(run.path, mistakes=True, count=3)
    assert [(each.label, each.guess) for each in found.explanations] == [
        (each["label"], each["guess"]) for each in stored[:3]
    ]
    page = read_page(found.page)
    assert "What it went by" in page.text
    assert "Grad-CAM at stage2.5" in page.text
    strips = [each for each in page.all("img") if "the map over the image" in each["alt"]]
    assert len(strips) == 3
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    fewer = convsmith.explain(run.path, mistakes=True, count=2, check=False)
    assert len(list((run.path / "explain").glob("mistakes-grad-cam-*.png"))) == 2
    assert len([e for e in read_page(fewer.page).all("img") if "the map over" in e["alt"]]) == 2


@pytest.mark.parametrize(
    ("method", "title"),
    [
        ("grad-cam++", "Grad-CAM++ at stage2.5"),
        ("integrated-gradients", "integrated gradients"),
        ("occlusion", "occlusion"),
    ],
)
def test_images_of_a_class_are_explained_by_every_method(run, method, title):
    found = convsmith.explain(
        run.path, class_name="7", count=2, method=method, target="1", check=False
    )
    assert [each.label for each in found.explanations] == ["7", "7"]
    assert {each.target for each in found.explanations} == {"1"}
    assert (found.layer is None) == (method != "grad-cam++")
    assert f"Images of 7, by {title}" in read_page(found.page).text


def test_the_command_says_what_it_wrote(run, photo, capsys):
    status, output = call(capsys, "explain", run.path, photo, photo.parent / "gone.png")
    assert status == 1
    assert output.err == f"convsmith: {photo.parent / 'gone.png'}: is not there\n"
    assert output.out.startswith(str(run.path / "explain" / "a-"))
    assert "elsewhere" in output.out
    assert "once the layers are shuffled" in output.out
    status, output = call(
        capsys, "explain", run.path, "--class", "3", "--count", "1", "--no-check", "--json"
    )
    assert status == 0
    told = json.loads(output.out.splitlines()[-1])
    assert told["explanations"][0]["label"] == "3"
    assert told["explanations"][0]["faithfulness"] is None
    assert told["page"] == str(run.path / "report.html")


def test_mistakes_of_the_user_are_one_line(run, photo, capsys):
    for words, said in (
        ((), "say what to explain"),
        ((photo, "--mistakes"), "say what to explain"),
        (("--class", "77"), "no class '77' (did you mean `7`?)"),
        ((photo, "--target", "cat"), "no class 'cat': 0, 1, 2"),
        ((photo, "--target", ""), "no class '': 0, 1, 2"),
        ((photo, "--layer", "stage3"), "no layer 'stage3' (did you mean `stage"),
        ((photo, "--layer", "stage1", "--method", "occlusion"), "leave the layer out"),
        ((photo, "--method", "gradcam"), "grad-cam"),
        ((photo, "--count", "0"), "0 is not in the range"),
    ):
        status, output = call(capsys, "explain", run.path, *words)
        assert status == 2, words
        assert said in output.err
        assert "Traceback" not in output.err
    with pytest.raises(UserError, match=r"no method is called 'gradcam' .did you mean `grad-cam`"):
        convsmith.explain(run.path, photo, method="gradcam")
    with pytest.raises(DataError, match="is not there"):
        convsmith.explain(run.path, "gone.png")


def with_weights(run, path, change):
    """Copy a run, with other weights that its checksums vouch for."""
    shutil.copytree(run.path, path)
    weights = load_file(path / "weights.safetensors")
    changed = {name: change(tensor) for name, tensor in weights.items()}
    save_file(changed, path / "weights.safetensors")
    RunFolder(path).seal()
    return path


def test_weights_that_are_no_numbers_explain_nothing(run, tmp_path, capsys):
    path = with_weights(run, tmp_path / "nan", lambda each: each * float("nan"))
    page = (path / "report.html").read_bytes()
    status, output = call(capsys, "explain", path, "--class", "8")
    assert status == 2
    assert "is NaN or infinite: there is nothing to explain; `convsmith diagnose`" in output.err
    assert (path / "report.html").read_bytes() == page
    (finding,) = convsmith.diagnose(path, progress="none").findings
    assert finding.rule == "nonfinite"
    assert "in the stored weights, `" in finding.evidence
    assert finding.layer


def test_weights_of_another_network_are_named(run, tmp_path):
    path = with_weights(run, tmp_path / "wide", lambda each: torch.stack([each, each]))
    for command in (convsmith.load, convsmith.evaluate, convsmith.diagnose):
        with pytest.raises(CheckpointError, match=r"wide.weights\.safetensors: weights do not fit"):
            command(path)


def test_networks_and_data_that_have_no_maps_are_told_apart(tmp_path, photo):
    place = {"runs": tmp_path, "progress": "none", "epochs": 1}
    flat = convsmith.train("digits", sets=[*QUICK, "model=mlp"], **place)
    with pytest.raises(UserError, match=r"no convolution.*occlusion or integrated-gradients"):
        convsmith.explain(flat.path, photo)
    found = convsmith.explain(flat.path, photo, method="integrated-gradients", check=False)
    assert found.explanations[0].picture.exists()
    points = convsmith.train("moons", sets=QUICK, **place)
    with pytest.raises(UserError, match="points"):
        convsmith.explain(points.path, class_name="0")


def test_a_run_of_a_network_of_ones_own(tmp_path):
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 36, 2)
    )
    images, labels = torch.randint(0, 256, (40, 3, 8, 8), dtype=torch.uint8), torch.arange(40) % 2
    data = convsmith.own_source((images, labels), (images, labels), classes=["cat", "dog"])
    run = convsmith.train(
        "digits", model=net, data=data, epochs=1, sets=QUICK, runs=tmp_path, progress="none"
    )
    net.train()
    net[0].requires_grad_(False)
    case = Case(net, images, labels)
    before = snapshot(case)
    found = convsmith.explain(run.path, class_name="cat", count=2, model=net, data=data)
    assert {each.label for each in found.explanations} == {"cat"}
    assert changes(case, before) == []
    with pytest.raises(UserError, match="pass it as `model=`"):
        convsmith.explain(run.path, class_name="cat", data=data)


def test_no_mistake_is_nothing_to_explain(run, capsys):
    path = run.path / "mistakes.json"
    whole = path.read_text()
    try:
        path.write_text(json.dumps({"part": "test", "mistakes": []}))
        status, output = call(capsys, "explain", run.path, "--mistakes")
    finally:
        path.write_text(whole)
        assert status == 0
    assert output.out.startswith("the network made no mistake")
    assert "There was nothing to explain." in read_page(run.path / "report.html").text


def test_a_damaged_list_of_mistakes_is_said(run):
    path = run.path / "mistakes.json"
    whole = path.read_text()
    try:
        told = json.loads(whole)
        told["mistakes"][0]["index"] = 10**6
        path.write_text(json.dumps(told))
        with pytest.raises(DamagedError, match="is of other images"):
            convsmith.explain(run.path, mistakes=True, check=False)
        path.write_text("no")
        with pytest.raises(DamagedError, match=r"mistakes\.json is not as"):
            convsmith.explain(run.path, mistakes=True, check=False)
    finally:
        path.write_text(whole)

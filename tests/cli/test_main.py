"""The command line: what it prints, how it ends, how fast it answers."""

import json
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
from statistics import median

import pytest
import torch
from PIL import Image

import convsmith
from convsmith.cli.main import COMMANDS, main, share_processor
from convsmith.errors import RunError


def call(capsys, *words):
    """Run a command in this process; return its status, output and errors."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    printed = capsys.readouterr()
    return ended.value.code or 0, printed.out, printed.err


def child(*words, code=None):
    line = [sys.executable, *(["-c", code] if code else ["-m", "convsmith", *words])]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run."""
    runs = tmp_path_factory.mktemp("runs")
    return convsmith.train("digits", epochs=1, name="tiny", runs=runs, progress="none")


@pytest.fixture
def picture(tmp_path):
    Image.new("L", (30, 40), 200).save(tmp_path / "seven.png")
    return tmp_path / "seven.png"


def test_help_answers_at_once_and_imports_nothing_heavy():
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert child("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert median(seconds) < 0.3
    code = (
        "import sys\nfrom convsmith.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([n for n in ('torch', 'numpy', 'pydantic', 'sklearn', 'PIL') if n in sys.modules])"
    )
    assert child(code=code).stdout.splitlines()[-1] == "[]"


def test_training_imports_only_what_it_uses(tmp_path):
    """PyTorch's compiler alone takes nearly as long to import as PyTorch."""
    words = ["train", "digits", "--epochs", "1", "--runs", str(tmp_path), "--progress", "none"]
    code = (
        f"import sys\nfrom convsmith.cli.main import main\ntry: main({words})\n"
        "except SystemExit: pass\n"
        "unused = ['torch._dynamo', 'sympy', 'torchvision', 'sklearn', 'onnx']\n"
        "print([n for n in unused if n in sys.modules])"
    )
    assert child(code=code).stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", [[], *[[name] for name in COMMANDS]])
def test_every_command_has_help(capsys, command):
    status, out, _ = call(capsys, *command, "--help")
    assert status == 0
    assert "Usage: convsmith" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "no command is called 'trian' (did you mean `train`?)"),
        (["train", "digits", "--epoch", "3"], "no such option '--epoch'"),
        (["train", "digits", "--epochs", "x"], "'x' is not a valid integer"),
        (["train", "digits", "--set", "a=1", "b=2"], "every setting needs a --set of its own"),
        (["train"], "say what to train"),
        (["train", "nonsense"], "there is no such preset or file"),
        (["train", "digits", "--device", "gpu"], "there are auto, cpu, cuda and cuda:N"),
        (["train", "digits", "--name", "../x"], "a run's name is at most 100 letters"),
        (["train", "digits", "--name", "n" * 300], "a run's name is at most 100 letters"),
        (["train", "digits", "--lr", "1e300"], "must be at most 1e+30"),
        (["train", "digits", "--set", "model.widths=[1000000000, 4]"], "does not fit in memory"),
        (["recipe", "show", "digits", "--set", f"seed={'9' * 5000}"], "must be a whole number"),
        (["train", "digits", "--resume", "x"], "keeps its recipe"),
        (["train", "--resume", "nowhere"], "there is no run 'nowhere'"),
        (["train", "mnist", "--data-root", "nowhere"], "mnist is not found: looked in nowhere"),
        (["train", "digits", "--set", "model.name=vgg_bn", "--set", "data.source=moons"], "8x8"),
        (["evaluate"], "missing argument 'RUN'"),
        (["evaluate", "nowhere"], "there is no run 'nowhere'"),
        (["predict", "nowhere", "x.png"], "there is no run 'nowhere'"),
        (["recipe", "show", "nonsense"], "there is no such preset or file"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_a_users_mistake_is_said_in_a_line_with_status_2(capsys, words, said, as_json):
    status, out, err = call(capsys, *words, *["--json"] * as_json)
    assert status == 2
    assert said in err
    assert "Traceback" not in err
    if as_json:
        error = json.loads(out.splitlines()[-1])["error"]
        assert error["exit_code"] == 2
        assert said in error["message"]
    else:
        assert out == ""


def test_mistakes_of_a_recipe_are_listed_in_json_too(capsys):
    _, out, _ = call(capsys, "train", "digits", "--lr", "-1", "--set", "sed=3", "--json")
    mistakes = json.loads(out.splitlines()[-1])["error"]["mistakes"]
    assert [mistake["path"] for mistake in mistakes] == ["optimizer.learning_rate", "sed"]


def test_train_prints_the_results_that_it_stores(capsys, tmp_path):
    status, out, err = call(
        capsys, "train", "digits", "--epochs", "1", "--runs", tmp_path, "--json"
    )
    assert status == 0
    printed = json.loads(out.splitlines()[-1])
    assert printed == json.loads((tmp_path / "digits-1" / "results.json").read_text())
    assert "epoch 1/1" in err
    assert not out.startswith("epoch")


def test_evaluate_in_a_fresh_process_reproduces_the_accuracy_exactly(run):
    done = child("evaluate", str(run.path), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    stored = json.loads((run.path / "results.json").read_text())
    assert found["score"] == stored["test"]


def test_evaluate_and_predict_print_for_people(capsys, run, picture):
    status, out, _ = call(capsys, "evaluate", run.path, "--split", "validation")
    assert status == 0
    assert out.startswith("validation: top-1 ")
    assert len(out.splitlines()) == 11
    status, out, _ = call(capsys, "predict", run.path, picture, "--top", "3")
    assert status == 0
    assert out.splitlines()[0] == str(picture)
    assert len(out.splitlines()) == 4


def test_evaluate_prints_what_was_asked_for(capsys, run):
    status, out, err = call(capsys, "evaluate", run.path, "--robustness", "--label-errors")
    assert status == 0, err
    assert "top-1 on worse images, " in out
    (noise,) = [line for line in out.splitlines() if line.startswith("  noise")]
    assert noise.count("%") == 6
    assert "of 1,295 labels look wrong" in out
    assert "of 143 labels look wrong" in out
    _, out, _ = call(capsys, "evaluate", run.path, "--robustness", "--label-errors", "--json")
    found = json.loads(out.splitlines()[-1])
    assert len(found["robustness"]["corruptions"]) == 4
    assert [part["part"] for part in found["label_errors"]["parts"]] == ["train", "validation"]
    status, _, err = call(capsys, "evaluate", run.path, "--folds", "3")
    assert status == 2
    assert "say --label-errors too" in err


def test_predict_prints_json(capsys, run, picture):
    _, out, _ = call(capsys, "predict", "tiny", picture, "--runs", run.path.parent, "--json")
    (prediction,) = json.loads(out)["predictions"]
    probabilities = [guess["probability"] for guess in prediction["guesses"]]
    assert len(probabilities) == 5
    assert probabilities == sorted(probabilities, reverse=True)


def test_predict_names_the_file_that_is_no_image(capsys, run, tmp_path):
    (tmp_path / "text.png").write_text("not an image")
    for name, said in (("text.png", "is not an image"), ("none.png", "is not there")):
        status, _, err = call(capsys, "predict", run.path, tmp_path / name)
        assert status == 2
        assert name in err
        assert said in err


@pytest.mark.parametrize("words", [["recipes"], ["recipe", "show", "mnist"], ["recipe", "schema"]])
def test_recipes_are_printed_for_people_and_as_json(capsys, words):
    status, out, _ = call(capsys, *words)
    assert status == 0
    assert out
    status, out, _ = call(capsys, *words, "--json")
    assert status == 0
    assert isinstance(json.loads(out.splitlines()[-1]), dict)


def test_a_changed_name_is_noted_on_standard_error(capsys):
    _, out, err = call(capsys, "recipe", "show", "digits", "--set", "optimizer.name=sgd")
    assert "note: optimizer.learning_rate=0.003 was chosen for adamw" in err
    assert "name: sgd" in out


def test_doctor_looks_at_everything(capsys, tmp_path):
    status, out, _ = call(capsys, "doctor", "--data-root", tmp_path)
    assert status == 0
    for said in (torch.__version__.split("+")[0], "processor", "memory", "CUDA", "data digits"):
        assert said in out
    assert "mnist is not found" in out
    status, out, _ = call(capsys, "doctor", "--data-root", tmp_path, "--json")
    report = json.loads(out.splitlines()[-1])
    digits = next(each for each in report["data"] if each["name"] == "digits")
    assert digits["images"] == 1797


def test_a_standard_output_that_is_not_there_is_no_fault(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    with pytest.raises(SystemExit) as ended:
        main(["recipes"])
    assert ended.value.code == 0
    assert capsys.readouterr().err == ""


def test_a_closed_pipe_is_no_fault():
    line = f"{sys.executable} -m convsmith recipe show digits | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_a_bug_of_ours_is_shown_whole_with_status_70(capsys, monkeypatch):
    def broken():
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("convsmith.cli.recipes.recipes", broken)
    status, _, err = call(capsys, "recipes")
    assert status == 70
    assert "Traceback" in err
    assert "please report it" in err


def test_what_the_system_refuses_is_one_line(capsys, monkeypatch):
    def full():
        raise OSError(28, "No space left on device", "runs/x")

    monkeypatch.setattr("convsmith.cli.recipes.recipes", full)
    assert call(capsys, "recipes")[::2] == (1, "convsmith: runs/x: No space left on device\n")


def test_an_error_of_the_run_keeps_its_own_status(capsys, monkeypatch):
    def refuse():
        raise RunError("no")

    monkeypatch.setattr("convsmith.cli.recipes.recipes", refuse)
    assert call(capsys, "recipes")[0] == 2


@pytest.mark.parametrize("place", ["", "folder", "no/page.html", "pipe"])
def test_a_comparison_replaces_nothing_but_files(capsys, tmp_path, monkeypatch, run, place):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    status, _, errors = call(capsys, "compare", run.path, run.path, "--out", place)
    assert status == 2
    assert errors.startswith("convsmith: --out: ")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_comparison_follows_a_link(capsys, tmp_path, run):
    (tmp_path / "page.html").write_text("old")
    (tmp_path / "link.html").symlink_to("page.html")
    assert call(capsys, "compare", run.path, run.path, "--out", tmp_path / "link.html")[0] == 0
    assert (tmp_path / "link.html").is_symlink()
    assert "<html" in (tmp_path / "page.html").read_text()


def test_a_comparison_of_different_data_says_so(capsys, tmp_path, run):
    other = shutil.copytree(run.path, tmp_path / "other")
    recipe = (other / "recipe.yaml").read_text()
    page = tmp_path / "page.html"
    assert "note" not in call(capsys, "compare", run.path, other, "--out", page)[2]
    (other / "recipe.yaml").write_text(recipe.replace("source: digits", "source: mnist"))
    status, _, errors = call(capsys, "compare", run.path, other, "--out", page)
    assert status == 0
    assert errors == "note: figures of different data say little side by side: digits, mnist\n"
    (other / "recipe.yaml").unlink()
    assert call(capsys, "compare", run.path, other, "--out", page)[2] == ""


def test_a_terminal_that_cannot_show_a_letter_gets_it_spelt_out(tmp_path):
    words = [sys.executable, "-m", "convsmith", "recipes"]
    surroundings = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(words, capture_output=True, env=surroundings, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert rb"99.24 \xb1 0.13" in done.stdout


def test_a_termination_while_decoding_leaves_nothing(tmp_path):
    for label in "ab":
        (tmp_path / "big" / label).mkdir(parents=True)
        for number in range(40):
            Image.effect_noise((900, 900), 50).save(tmp_path / "big" / label / f"{number}.png")
    words = [sys.executable, "-m", "convsmith", "data", "show", "folder:big"]
    surroundings = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    stores = tmp_path / "cache" / "convsmith" / "stores"
    pipe = subprocess.PIPE
    with subprocess.Popen(words, cwd=tmp_path, env=surroundings, stderr=pipe, text=True) as process:
        while not any(stores.glob(".*")) and process.poll() is None:
            time.sleep(0.01)
        process.terminate()
        errors = process.communicate(timeout=60)[1]
    assert process.returncode == 143
    assert "convsmith: stopped" in errors
    assert list(stores.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "count"),
    [({}, "3000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_waiting_threads_give_up_their_core_unless_told_otherwise(monkeypatch, given, count):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    share_processor()
    assert os.environ.get("GOMP_SPINCOUNT") == count


def test_a_termination_is_told_in_json_too(capsys, monkeypatch):
    def stop(**options):
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("convsmith.api.doctor.doctor", stop)
    try:
        status, out, err = call(capsys, "doctor", "--json")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert status == 143
    assert json.loads(out.splitlines()[-1])["error"]["exit_code"] == 143
    assert err == "convsmith: stopped\n"

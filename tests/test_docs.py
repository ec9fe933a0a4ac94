"""The commands and programs in the documents run as they stand there."""

import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BIN = Path(sys.executable).parent


def blocks(language, text=README):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def place(tmp_path):
    (tmp_path / "small.yaml").write_text(blocks("yaml")[0])
    draw = random.Random(0)
    for number in range(36):
        folder = tmp_path / "photos" / ("cat", "dog", "owl")[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        size = (draw.randint(40, 90), draw.randint(40, 90))
        Image.effect_noise(size, 50).convert("RGB").save(folder / f"{number}.jpg")
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "seven.png", tmp_path / "docs")
    return tmp_path


def run(words, place):
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    environment.pop("CONVSMITH_RUNS", None)
    return subprocess.run(
        words,
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.timeout(900)
def test_every_command_of_the_readme_runs(place):
    commands = [line for block in blocks("bash") for line in block.splitlines()]
    assert len(commands) > 8
    for command in commands:
        done = run(["bash", "-c", command], place)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert "Traceback" not in done.stderr


@pytest.mark.timeout(900)
def test_every_program_of_the_readme_runs(place):
    programs = blocks("python")
    assert len(programs) == 3
    for program in programs:
        done = run([sys.executable, "-W", "error", "-c", program], place)
        assert done.returncode == 0, done.stderr


def test_the_mistakes_of_the_readme_are_the_ones_that_are_printed(place):
    block = next(block for block in blocks("console") if "mistakes" in block)
    command, *expected = block.splitlines()
    done = run(["bash", "-c", command.removeprefix("$ ")], place)
    assert done.returncode == 2
    for line, printed in zip(expected, done.stderr.splitlines(), strict=True):
        assert printed.startswith(line.removesuffix("…"))


def test_the_figures_of_the_readme_and_of_the_presets_are_those_of_the_results():
    rows = re.findall(
        r"^\| `([\w-]+)` \| ([\d.]+ ± [\d.]+) \|", (ROOT / "docs/results.md").read_text(), re.M
    )
    assert len(rows) >= 6
    for preset, accuracy in rows:
        recipe = (ROOT / f"src/convsmith/recipes/{preset}.yaml").read_text()
        assert f"reached: {accuracy} %" in recipe
        assert re.search(rf"^\| `{preset}` .*\| {accuracy} % \|", README, re.M), preset


def test_links_between_documents_lead_somewhere():
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"

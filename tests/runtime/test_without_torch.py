"""The runtime alone, in an environment that has neither torch nor convsmith."""

import ast
import subprocess
import sys
import venv
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.runtime.builders import contents, pack, picture

RUNTIME = Path(__file__).parents[2] / "runtime" / "src" / "convsmith_runtime"
NEEDED = ("numpy", "PIL", "onnxruntime")
HTTP = ("fastapi", "starlette", "uvicorn", "python_multipart", "anyio", "pydantic", "click")


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The Python of a fresh environment with the runtime and what it needs, and nothing else."""
    place = tmp_path_factory.mktemp("venv")
    venv.create(place, with_pip=False, symlinks=True)
    (site,) = place.glob("lib/python*/site-packages")
    for name in NEEDED:
        package = Path(find_spec(name).origin).parent
        for each in (package, package.parent / f"{package.name}.libs"):
            if each.exists():
                (site / each.name).symlink_to(each)
    pillow = Path(find_spec("PIL").origin).parent.parent / "pillow.libs"
    if pillow.exists():
        (site / "pillow.libs").symlink_to(pillow)
    (site / "convsmith_runtime").symlink_to(RUNTIME)
    return place / "bin" / "python"


def run(python, *words):
    return subprocess.run(
        [str(python), "-I", *map(str, words)], capture_output=True, text=True, check=False
    )


def test_torch_and_convsmith_are_not_there(python):
    for name in ("torch", "convsmith"):
        assert "ModuleNotFoundError" in run(python, "-c", f"import {name}").stderr


def test_a_bundle_is_checked_and_predicted_from(python, tmp_path):
    bundle = pack(tmp_path / "tiny.convsmith", contents())
    (tmp_path / "a.png").write_bytes(picture(0)[1])
    done = run(python, "-m", "convsmith_runtime.cli", "check", bundle)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("2 golden samples replayed")
    done = run(python, "-m", "convsmith_runtime.cli", "predict", bundle, tmp_path / "a.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("%") == 4


def test_the_runtime_imports_nothing_but_what_it_declares():
    allowed = {*sys.stdlib_module_names, *NEEDED, "convsmith_runtime"}
    for path in RUNTIME.rglob("*.py"):
        http = HTTP if "http" in path.relative_to(RUNTIME).parts else ()
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
            for name in names:
                assert name.split(".")[0] in {*allowed, *http}, f"{path.name} imports {name}"


def test_the_runtimes_files_and_functions_stay_short():
    for path in RUNTIME.rglob("*.py"):
        text = path.read_text()
        assert text.count("\n") <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                doc = ast.get_docstring(node, clean=False) or ""
                length = node.end_lineno - node.lineno - doc.count("\n")
                assert length <= 60, f"{path}: {node.name} has {length} lines"

"""How the packages depend on one another, read from their imports."""

import ast
import importlib
import pkgutil
import re
import subprocess
from pathlib import Path

import pytest

import convsmith

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "convsmith"

BASE = {"errors", "bounds", "cache", "checksum", "processor", "randomness", "sizes"}
ALLOWED = {
    "errors": set(),
    "bounds": set(),
    "cache": set(),
    "checksum": set(),
    "processor": set(),
    "randomness": set(),
    "sizes": {"errors"},
    "nn": BASE,
    "models": {"nn"} | BASE,
    "data": BASE,
    "training": BASE,
    "planning": {"training"} | BASE,
    "insight": BASE,
    "exporting": BASE,
    "compression": {"exporting"} | BASE,
    "benchmark": {"exporting", "compression"} | BASE,
    "runs": BASE | {"__init__"},  # the version
    "recipe": {"models", "data", "training"} | BASE,
    "reporting": {"runs"} | BASE,
    "api": {
        *("recipe", "runs", "models", "data", "training", "planning", "insight", "reporting"),
        *("exporting", "compression", "benchmark"),
        "__init__",
        *BASE,
    },
    "cli": {"api", "__init__"} | BASE,
}
TOP = {"__init__", "__main__"}


def layer(module):
    """The package or module of ours that a name belongs to; `convsmith.__version__` is its own."""
    name = module.split(".")[1] if "." in module else "__init__"
    return name if name in ALLOWED else "__init__"


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "convsmith":
            yield from (f"convsmith.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_imports_run_downward_only():
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).parts
        home = parts[0].removesuffix(".py")
        if home in TOP:
            continue
        for module in imports(path):
            ours = module.split(".")[0] == "convsmith" and layer(module) != home
            if ours and layer(module) not in ALLOWED[home]:
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert wrong == []


def test_every_module_imports_and_then_every_verb_is_still_a_function():
    for module in pkgutil.walk_packages(convsmith.__path__, "convsmith."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for verb in convsmith.__all__:
        assert callable(getattr(convsmith, verb)), verb


def test_what_a_module_exports_exists():
    for info in pkgutil.walk_packages(convsmith.__path__, "convsmith."):
        if info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        for name in getattr(module, "__all__", ()):
            assert hasattr(module, name), f"{info.name}.{name}"


def test_an_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="tarin"):
        _ = convsmith.tarin


def test_no_tracked_file_names_a_machine():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    places = re.compile(rb"/(?:work|root|home)/|localhost:\d|https?://(?:10|192\.168|172)\.")
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = ROOT / name
        if path.is_file() and path != Path(__file__):
            assert not places.search(path.read_bytes()), name


def test_files_and_functions_stay_short():
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        assert text.count("\n") <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                doc = ast.get_docstring(node, clean=False) or ""
                length = node.end_lineno - node.lineno - doc.count("\n")
                assert length <= 60, f"{path}: {node.name} has {length} lines"

"""What all tests share: two threads, folders of their own, and where real data lies."""

import os
from pathlib import Path

# Before torch is imported; child processes inherit it. Two cores are what every machine has.
os.environ["OMP_NUM_THREADS"] = "2"

import pytest
import torch

ROOT = Path(__file__).parents[1]
FASHION = Path("/usr/share/datasets/fashion-mnist")


def find_data() -> Path | None:
    """Return the first folder that has MNIST, looked for before tests lose the environment's."""
    candidates = [os.environ.get("CONVSMITH_DATA"), ROOT.parent / "shared" / "data", ROOT / "data"]
    for candidate in filter(None, candidates):
        root = Path(candidate).resolve()
        if (root / "mnist").is_dir() or (root / "MNIST" / "raw").is_dir():
            return root
    return None


DATA = find_data()


# Files that take minutes begin first, so that no core waits for the last of them.
LONGEST = ("test_docs.py", "test_resume.py", "test_memory.py", "test_diagnose.py", "test_lr.py")


def pytest_collection_modifyitems(items):
    """Put the longest files first; the order is otherwise as it was."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session", autouse=True)
def environment(tmp_path_factory):
    """Keep runs and caches away from the person's own, and their settings away from the tests."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVSMITH_RUNS", str(home / "runs"))
        patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        patch.delenv("CONVSMITH_DATA", raising=False)
        patch.setenv("CONVSMITH_OFFLINE", "1")  # no test waits for a server that is not its own
        torch.set_num_threads(2)
        yield


@pytest.fixture(autouse=True)
def threads_and_seed():
    """Undo what a test did to the process's threads; start each with the same random numbers."""
    torch.manual_seed(0)
    yield
    if torch.get_num_threads() != 2:
        torch.set_num_threads(2)


@pytest.fixture(scope="session")
def data_root():
    """The folder that has MNIST."""
    if DATA is None:
        pytest.skip("MNIST is not here: CONVSMITH_DATA names no folder with mnist/ or MNIST/raw/")
    return DATA


@pytest.fixture(scope="session")
def fashion_root():
    """A folder under which Fashion-MNIST is found."""
    if not FASHION.is_dir():
        pytest.skip("Fashion-MNIST is not here: apt install dataset-fashion-mnist")
    return DATA or ROOT / "data"

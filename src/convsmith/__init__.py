"""convsmith: from a folder of images to a trained, understood and served convolutional network.

The verbs are functions of this package, imported when they are first used::

    import convsmith

    run = convsmith.train("mnist", epochs=3, batch_size=64, learning_rate=1e-3)
    run.results.test.top1
    model = convsmith.load(run.path)
    model.predict("seven.png").label
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convsmith.api.bench import bench
    from convsmith.api.check import check
    from convsmith.api.compress import compress
    from convsmith.api.diagnose import diagnose
    from convsmith.api.doctor import doctor
    from convsmith.api.evaluate import evaluate
    from convsmith.api.explain import explain
    from convsmith.api.export import export
    from convsmith.api.load import load
    from convsmith.api.lr import lr
    from convsmith.api.plan import plan
    from convsmith.api.predict import predict
    from convsmith.api.report import compare, report
    from convsmith.api.run import open_run
    from convsmith.api.train import train
    from convsmith.data import own_source
    from convsmith.recipe.load import load_recipe
    from convsmith.recipe.presets import presets

__version__ = "0.1.0"
__all__ = [
    "bench",
    "check",
    "compare",
    "compress",
    "diagnose",
    "doctor",
    "evaluate",
    "explain",
    "export",
    "load",
    "load_recipe",
    "lr",
    "open_run",
    "own_source",
    "plan",
    "predict",
    "presets",
    "report",
    "train",
]

HOMES = {
    "bench": "convsmith.api.bench",
    "check": "convsmith.api.check",
    "compare": "convsmith.api.report",
    "diagnose": "convsmith.api.diagnose",
    "compress": "convsmith.api.compress",
    "doctor": "convsmith.api.doctor",
    "evaluate": "convsmith.api.evaluate",
    "export": "convsmith.api.export",
    "explain": "convsmith.api.explain",
    "load": "convsmith.api.load",
    "load_recipe": "convsmith.recipe.load",
    "lr": "convsmith.api.lr",
    "open_run": "convsmith.api.run",
    "own_source": "convsmith.data",
    "plan": "convsmith.api.plan",
    "predict": "convsmith.api.predict",
    "presets": "convsmith.recipe.presets",
    "report": "convsmith.api.report",
    "train": "convsmith.api.train",
}


def __getattr__(name: str) -> Any:
    """Import a verb when it is first asked for, and keep it."""
    if name not in HOMES:
        raise AttributeError(f"module 'convsmith' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *HOMES})

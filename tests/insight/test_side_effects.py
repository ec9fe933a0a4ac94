"""Looking changes nothing: every tool that takes a network leaves it byte for byte as it was.

Tools are found by walking the packages below: every public function or class that takes an
``nn.Module``. A new tool needs one entry in ``TOOLS``: how to call it on a ``Case``. It is then
called on a network in mixed modes, partly frozen, with gradients and hooks of the user's own, once
as it is, once with a forward pass that fails on the way, and once without gradients.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import numpy
import pytest
import torch
from tests.insight.snapshot import Case, changes, snapshot
from torch import Tensor, nn

import convsmith.insight
import convsmith.planning
from convsmith.insight.unchanged import unchanged

PACKAGES = (convsmith.insight, convsmith.planning)


def passed_within(context, case):
    with context:
        case.model(case.images)


def read_once(watch_of, case):
    watch = watch_of(case.model, histograms=True)
    try:
        with unchanged(case.model):
            case.model(case.images)
        assert watch.read(1, 0.1, 1.0).layers
    finally:
        watch.close()


def make_sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)


def summed(model, images, targets):
    return images.sum(1) * model(images).gather(1, targets[:, None])[:, :, None]


# module.name below convsmith -> how it is called
TOOLS: dict[str, Callable[[Any, Case], object]] = {
    "insight.faithfulness.class_curve": lambda tool, case: tool(
        case.model,
        case.images[0],
        case.images[1],
        2,
        torch.arange(144).view(1, 12, 12),
        4,
    ),
    "insight.faithfulness.faithfulness": lambda tool, case: tool(
        case.model, case.images, case.labels, case.maps, steps=3, displaced=2
    ),
    "insight.gradcam.grad_cam": lambda tool, case: tool(case.model, case.images, case.labels),
    "insight.gradcam.grad_cam_plus_plus": lambda tool, case: tool(
        case.model, case.images, case.labels
    ),
    "insight.integrated_gradients.integrated_gradients": lambda tool, case: tool(
        case.model, case.images, case.labels, steps=3
    ),
    "insight.occlusion.occlusion": lambda tool, case: tool(case.model, case.images, case.labels),
    "insight.survey.survey": lambda tool, case: tool(case.model, [(case.images, case.labels)]),
    "insight.target_layer.target_layer": lambda tool, case: tool(case.model, case.images),
    "insight.unchanged.unchanged": lambda tool, case: passed_within(tool(case.model), case),
    "insight.watch.Watch": read_once,
    "insight.weight_shuffle.shuffled_similarity": lambda tool, case: tool(
        case.model, case.images, case.labels, case.maps, summed, looks=2
    ),
    "planning.choices.Steps": lambda tool, case: tool(
        case.model, make_sgd, (1, 12, 12), 4, torch.contiguous_format, False, 0, False
    ).trace("fp32", 2, recompute=True),
    "planning.trace.trace": lambda tool, case: tool(case.model, make_sgd, (1, 12, 12), 2),
}


def tools() -> dict[str, Any]:
    """Return every public function and class of the packages that takes a network."""
    found = {}
    for package in PACKAGES:
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(info.name)
            for name in module.__all__:
                tool = getattr(module, name)
                ours = getattr(tool, "__module__", None) == info.name
                if ours and takes_network(tool):
                    found[f"{info.name.removeprefix('convsmith.')}.{name}"] = tool
    return found


def takes_network(tool: Any) -> bool:
    """Return whether a function, or a class in any public method, takes a network."""
    if inspect.isclass(tool):
        methods = [
            each for name, each in vars(tool).items() if name[0] != "_" or name == "__init__"
        ]
        bare = [getattr(each, "__func__", each) for each in methods]  # of class and static methods
        return any(takes_network(each) for each in bare if inspect.isfunction(each))
    if not inspect.isfunction(tool):
        return False
    hints = {name: hint for name, hint in get_type_hints(tool).items() if name != "return"}
    return any(mentions_network(hint) for hint in hints.values())


def mentions_network(hint: Any) -> bool:
    """Return whether a type is a network's, or made of it: an optional one, or several."""
    if inspect.isclass(hint) and not get_args(hint):
        return issubclass(hint, nn.Module)
    # A callable that takes a network is not one.
    return getattr(hint, "__origin__", None) is not Callable and any(
        mentions_network(each) for each in get_args(hint) if not isinstance(each, list)
    )


FOUND = tools()


class Counting(nn.Module):
    """Counts its passes in any mode, drops out in any mode, and fails when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))
        self.left: int | None = None  # passes before one fails

    def forward(self, x: Tensor) -> Tensor:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise RuntimeError("failing on purpose")
        self.passes += 1
        return nn.functional.dropout(x, 0.1, training=True)


def make_case() -> Case:
    """Return a network such as people have while they look at it."""
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True)),
        nn.Dropout(0.5),
        nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        Counting(),
        nn.Linear(8 * 25, 3),
    )
    images, labels = torch.randn(4, 1, 12, 12), torch.tensor([0, 1, 2, 0])
    nn.functional.cross_entropy(model(images), labels).backward()  # gradients and statistics
    model[0].requires_grad_(False)
    model[5].bias.grad = None
    model[0].eval()
    model[2][1].eval()
    model[2][0].register_forward_hook(lambda module, inputs, output: None)
    model[5].register_full_backward_hook(lambda module, given, taken: None)
    return Case(model, images, labels)


def test_every_tool_is_in_the_table():
    missing = sorted(FOUND.keys() - TOOLS.keys())
    assert not missing, f"add to TOOLS how these are called: {', '.join(missing)}"
    assert not TOOLS.keys() - FOUND.keys(), "these are gone, or in no module's __all__"
    assert len(FOUND) > 8


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_leaves_the_network_as_it_was(name):
    case = make_case()
    before = snapshot(case)
    TOOLS[name](FOUND[name], case)
    assert changes(case, before) == []


@pytest.mark.parametrize("name", TOOLS)
@pytest.mark.parametrize("passes", [0, 1])
def test_a_tool_that_fails_leaves_it_as_it_was_too(name, passes):
    case = make_case()
    case.model[4].left = passes
    before = snapshot(case)
    try:
        TOOLS[name](FOUND[name], case)
    except RuntimeError as error:
        assert "on purpose" in str(error)  # noqa: PT017
    assert changes(case, before) == []


@pytest.mark.parametrize("name", TOOLS)
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_a_tool_works_where_the_caller_takes_no_gradients(name, context):
    case = make_case()
    before = snapshot(case)
    with context():
        TOOLS[name](FOUND[name], case)
    assert changes(case, before) == []


@pytest.mark.parametrize(
    "harm",
    [
        lambda case: case.model.eval(),
        lambda case: case.model(case.images),
        lambda case: case.model.requires_grad_(True),
        lambda case: case.model.zero_grad(),
        lambda case: case.model[0].register_forward_hook(lambda *_: None),
        lambda case: case.model[5].weight.data.neg_().neg_().mul_(1 + 1e-7),
        lambda case: torch.rand(1),
        lambda case: numpy.random.rand(),
        lambda case: setattr(case.model[0], "forward", None),
        lambda case: case.model[0].register_buffer("seen", torch.zeros(1)),
        lambda case: case.images.add_(1),
    ],
)
def test_a_change_is_seen(harm):
    case = make_case()
    before = snapshot(case)
    harm(case)
    assert changes(case, before)


def test_a_tool_without_an_entry_would_be_found():
    def look(images: Tensor, model: nn.Module | None = None) -> None: ...

    def many(models: list[nn.Module]) -> None: ...

    def other(images: Tensor) -> nn.Module: ...

    class Looker:
        def __init__(self, model: nn.Sequential) -> None: ...

    class Made:
        @classmethod
        def of(cls, model: nn.Module) -> None: ...

    class Still:
        @staticmethod
        def look(model: nn.Module) -> None: ...

    assert all(takes_network(each) for each in (look, many, Looker, Made, Still))
    assert not takes_network(other)

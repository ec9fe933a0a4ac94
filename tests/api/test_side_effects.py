"""Every verb that takes a network of one's own leaves it, and all random numbers, as they were.

Verbs are found by their parameters; a new one needs an entry in ``VERBS``. What single tools do is
in tests/insight/test_side_effects.py.
"""

import pytest
import torch
from tests.insight.snapshot import Case, changes, snapshot
from tests.insight.test_side_effects import takes_network
from torch import nn

import convsmith

EXEMPT = {"train", "load"}  # the first is to change the network, or its copy; both return it
TRAINED = {"progress": "none", "sets": ["train.precision=fp32", "train.memory_format=contiguous"]}
VERBS = {
    "compress": lambda run, net: convsmith.compress(
        run, ["fuse"], model=net, images=20, batches=[1]
    ),
    "diagnose": lambda run, net: convsmith.diagnose(run, model=net, progress="none"),
    "evaluate": lambda run, net: convsmith.evaluate(run, model=net),
    "explain": lambda run, net: convsmith.explain(run, class_name="3", count=2, model=net),
    "export": lambda run, net: convsmith.export(run, model=net),
    "lr": lambda run, net: convsmith.lr("digits", model=net, steps=20, seeds=1, **TRAINED),
    "plan": lambda run, net: convsmith.plan("digits", model=net, device="t4"),
}


def network():
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU()),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Linear(144, 10),
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that trained a network of one's own."""
    runs = tmp_path_factory.mktemp("runs")
    return convsmith.train("digits", model=network(), epochs=1, runs=runs, **TRAINED).path


def looked_at():
    """A network such as people have: in mixed modes, partly frozen, with gradients and a hook."""
    net, images, labels = network(), torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 0])
    nn.functional.cross_entropy(net(images), labels).backward()
    net[0].requires_grad_(False)
    net[0].eval()
    net[3].register_forward_hook(lambda module, inputs, output: None)
    return Case(net, images, labels)


def test_every_verb_that_takes_a_network_is_in_the_table():
    found = {name for name in convsmith.__all__ if takes_network(getattr(convsmith, name))}
    assert found - EXEMPT == VERBS.keys()


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_leaves_the_network_as_it_was(name, run):
    case = looked_at()
    before = snapshot(case)
    VERBS[name](run, case.model)
    assert changes(case, before) == []


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A run that trained a network that convsmith makes itself."""
    runs = tmp_path_factory.mktemp("known")
    return convsmith.train("digits", epochs=1, runs=runs, **TRAINED).path


@pytest.mark.parametrize(
    "look",
    [
        lambda run: convsmith.diagnose(run, images=50, progress="none"),
        convsmith.evaluate,
        lambda run: convsmith.explain(run, "docs/seven.png", check=False),
        lambda run: convsmith.predict(run, ["docs/seven.png"]),
    ],
)
def test_looking_at_a_run_draws_no_random_numbers(look, known):
    before = torch.get_rng_state()
    look(known)
    assert torch.equal(torch.get_rng_state(), before)

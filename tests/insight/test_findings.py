"""Rules on evidence made by hand: what is over a threshold is found, what is under it is not."""

import math
from dataclasses import replace

import pytest

from convsmith.insight.evidence import Epoch, Evidence, Leak, NonFinite, Settings
from convsmith.insight.findings import RULES, find
from convsmith.insight.survey import Normed, Survey, Units
from convsmith.insight.watch import Layer, Reading, Spread
from convsmith.recipe.load import load_recipe

SETTINGS = Settings(
    rates=(("learning_rate", 0.1),),
    batch_size=128,
    epochs=10,
    precision="bf16",
    clip_norm=None,
    weight_decay=5e-4,
    norm="batch",
    dropout=0.2,
    augmented=True,
    mixed=False,
    balanced=False,
    chosen=True,
)


def reading(step, loss, gradient=0.3, ratio=2e-3):
    """A step of three layers; the second one's gradient and ratio are given."""
    layers = []
    for name, largest in (("stem", 0.3), ("stage1", gradient), ("head", 0.4)):
        values = Spread(0.0, 0.1, largest, 0.0)
        layers.append(Layer(name, Spread(0, 0.1, 0.5, 0), values, 1.0, largest, ratio))
    return Reading(step, 0.1, loss, tuple(layers), (), {})


def survey(*, dead=3, saturated=0.1, off=2, mean=0.0, std=1.0, sure=None):
    """Activation functions and BatchNorm of 16 channels, as a healthy network has them."""
    return Survey(
        images=1000,
        input_mean=mean,
        input_std=std,
        units=(
            Units("stem.2", "relu", True, 16, (), 0.5, None),
            Units("stage1.2", "relu", True, 16, tuple(range(dead)), 0.5, None),
            Units("squeeze", "sigmoid", False, 16, (), 0.0, 0.0),
            Units("gate", "sigmoid", False, 16, (), 0.0, saturated),
        ),
        norms=(
            Normed("stem.1", (0.1,) * 16, (1.0,) * 16),
            Normed("stage1.1", (0.8,) * off + (0.1,) * (16 - off), (1.1,) * 16),
        ),
        ranks=(900, 50, 20, 10, 10, 4, 3, 1, 1, 1),
        sure=sure or (450, 8, 3, 2, 1, 1, 1, 0, 0, 0),
    )


def losses(count=200, leap=None):
    """A loss that falls from 2.3 to 0.2, with one leap if asked for."""
    values = [0.2 + 2.1 * 0.97**n for n in range(count)]
    if leap is not None:
        values[150] = leap
    return tuple(enumerate(values, 1))


def epochs(train=(2.0, 0.9, 0.5, 0.4, 0.3), val=(1.9, 1.0, 0.6, 0.55, 0.5), top1=(0.95, 0.92)):
    count = len(train)
    return tuple(
        Epoch(n, 40 * n, loss, top1[0] * n / count, held, top1[1] * n / count)
        for n, (loss, held) in enumerate(zip(train, val, strict=True), 1)
    )


HEALTHY = Evidence(
    classes=tuple("abcdefghij"),
    counts=(100, 90, 110, 100, 95, 100, 105, 100, 100, 100),
    validation=2000,
    settings=SETTINGS,
    complete=True,
    losses=losses(),
    epochs=epochs(),
    readings=tuple(reading(step, loss) for step, loss in losses()[::10]),
    trained=survey(),
    held_out=survey(),
    leak=Leak(2000, 3, (0.996, 0.9), (("image 1", "image 2"),)),
)


def with_readings(**values):
    """Readings that all have the second layer as given."""
    return {"readings": tuple(reading(s, loss, **values) for s, loss in losses()[::10])}


def flat(value):
    return tuple((step, value) for step, _ in losses())


SICK = {
    "nonfinite": {"nonfinite": NonFinite(41, "in the output of `stage1.0`")},
    "exploding": with_readings(gradient=150.0),
    "vanishing": with_readings(gradient=5e-7),
    "rate-high": with_readings(ratio=0.15) | {"losses": flat(2.3)},
    "rate-low": with_readings(ratio=2e-5) | {"losses": flat(2.3)},
    "dead-relu": {"trained": survey(dead=9)},
    "saturated": {"trained": survey(saturated=0.6)},
    "batch-norm": {"trained": survey(off=5)},
    "spike": {"losses": losses(leap=2.0)},
    "overfit": {"epochs": epochs(val=(1.9, 0.6, 0.55, 0.8, 0.9), top1=(0.99, 0.8))},
    "underfit": {"epochs": epochs(train=(2.3, 2.2, 2.1, 2.0, 1.9), top1=(0.3, 0.3))},
    "label-noise": {"held_out": survey(sure=(400, 20, 10, 10, 10, 10, 10, 10, 10, 10))},
    "imbalance": {"counts": (10, *[100] * 9)},
    "leakage": {"leak": replace(HEALTHY.leak, copies=30)},
    "small-validation": {"validation": 60},
    "input-scale": {"trained": survey(mean=78.0, std=70.0)},
}
NEARLY = {
    "exploding": with_readings(gradient=90.0),
    "vanishing": with_readings(gradient=2e-6),
    "rate-high": with_readings(ratio=0.15),  # and yet the loss falls
    "rate-low": with_readings(ratio=2e-5),  # and yet the loss falls
    "dead-relu": {"trained": survey(dead=7)},
    "saturated": {"trained": survey(saturated=0.45)},
    "batch-norm": {"trained": survey(off=3)},
    "spike": {"losses": losses(leap=0.5)},
    "overfit": {"epochs": epochs(val=(1.9, 0.6, 0.55, 0.6, 0.62), top1=(0.99, 0.92))},
    "underfit": {"complete": False, "epochs": epochs(train=(2.3, 2.2, 2.1, 2.0, 1.9))},
    "label-noise": {"held_out": survey(sure=(350, 75, 35, 20, 10, 4, 2, 2, 1, 1))},
    "imbalance": {"counts": (40, *[100] * 9)},
    "leakage": {"leak": replace(HEALTHY.leak, copies=15)},
    "small-validation": {"validation": 60, "settings": replace(SETTINGS, chosen=False)},
    "input-scale": {"trained": survey(mean=0.5, std=2.0)},
}


def test_there_is_a_sick_example_of_every_rule():
    assert list(SICK.keys() ^ RULES.keys()) == []
    assert len(RULES) == 16


def test_a_healthy_training_and_no_evidence_yield_nothing():
    assert find(HEALTHY) == ()
    assert find(Evidence(("a", "b"), (), 0, SETTINGS)) == ()


@pytest.mark.parametrize("rule", SICK)
def test_what_is_over_a_threshold_is_found_with_evidence_and_advice_that_is_valid(rule):
    found = find(replace(HEALTHY, **SICK[rule]))
    assert [each.rule for each in found] == [rule]
    finding = found[0]
    for text in (finding.what, finding.evidence, finding.cause, finding.change):
        assert text.strip()
    assert any(each.isdigit() for each in finding.evidence)
    assert finding.plot is not None
    assert len(finding.plot.points) > 1
    assert finding.sets or rule == "leakage"  # copies are mended in the data
    load_recipe("digits", sets=finding.sets)


@pytest.mark.parametrize("rule", NEARLY)
def test_what_is_under_a_threshold_is_not(rule):
    assert find(replace(HEALTHY, **NEARLY[rule])) == ()


def test_the_place_is_named():
    for rule, layer in (("exploding", "stage1"), ("nonfinite", "stage1.0"), ("saturated", "gate")):
        assert find(replace(HEALTHY, **SICK[rule]))[0].layer == layer
    assert find(replace(HEALTHY, **SICK["nonfinite"]))[0].step == 42
    assert find(replace(HEALTHY, **SICK["spike"]))[0].step == 151
    assert find(replace(HEALTHY, **SICK["overfit"]))[0].epoch == 3


def test_hidden_units_are_held_against_their_own_limit():
    hidden = Units("hidden", "relu", False, 16, tuple(range(15)), 0.9, None)
    sick = replace(HEALTHY, trained=replace(survey(), units=(hidden,)))
    assert find(sick)[0].plot.level.y == 0.9


def test_a_cause_is_a_rule_that_is_tried_before():
    tried = set()
    for name, (_, causes) in RULES.items():
        assert set(causes) <= tried, name
        tried.add(name)


def test_consequences_are_not_reported_beside_their_cause():
    both = SICK["nonfinite"] | SICK["underfit"]
    assert [each.rule for each in find(replace(HEALTHY, **both))] == ["nonfinite"]
    both = SICK["spike"] | {"readings": SICK["exploding"]["readings"]}
    assert [each.rule for each in find(replace(HEALTHY, **both))] == ["exploding"]


def test_small_gradients_of_what_is_learnt_are_no_finding():
    learnt = tuple(reading(step, 0.01, gradient=1e-9) for step in range(150, 200, 5))
    assert find(replace(HEALTHY, readings=HEALTHY.readings + learnt)) == ()
    assert find(replace(HEALTHY, readings=learnt)) == ()  # of a finished run's batches alone


@pytest.mark.parametrize("largest", [math.inf, math.nan])
def test_a_step_that_fp16_left_out_is_no_exploding_gradient(largest):
    left_out = reading(1, 2.3, gradient=largest, ratio=0.0)
    stem = replace(left_out.layers[0], gradient=left_out.layers[1].gradient)
    left_out = replace(left_out, layers=(stem, *left_out.layers[1:]))
    assert find(replace(HEALTHY, readings=(left_out, *HEALTHY.readings))) == ()


def test_advice_on_the_rate_is_of_the_right_size():
    low = find(replace(HEALTHY, **SICK["rate-low"]))[0]
    assert low.sets == ("optimizer.learning_rate=10",)  # 2e-5 to a thousandth: 50, so 100 times
    two = replace(SETTINGS, rates=(("learning_rate", 0.1), ("others_learning_rate", 0.01)))
    high = find(replace(HEALTHY, settings=two, **SICK["rate-high"]))[0]
    assert high.sets == ("optimizer.learning_rate=0.01", "optimizer.others_learning_rate=0.001")


@pytest.mark.parametrize(
    ("ratio", "said"), [(3e30, "by 3e+30 times or more"), (math.nan, None), (math.inf, None)]
)
def test_weights_that_overflow_are_no_crash(ratio, said):
    found = find(replace(HEALTHY, **with_readings(ratio=ratio) | {"losses": flat(2.3)}))
    high = [each.evidence for each in found if each.rule == "rate-high"]
    assert (said in high[0]) if said else (high == [])


def test_a_loss_that_leaps_up_from_nothing_is_a_spike():
    values = [2.0] * 10 + [0.0] * 40 + [5.0] + [0.0] * 10
    (spike,) = find(replace(HEALTHY, losses=tuple(enumerate(values, 1))))
    assert (spike.rule, spike.step) == ("spike", 51)


def test_mixed_images_that_stay_hard_are_no_underfitting():
    course = epochs(train=(2.2, 1.9, 1.7, 1.5, 1.4), top1=(0.6, 0.95))
    healthy = replace(HEALTHY, epochs=course, settings=replace(SETTINGS, mixed=True))
    assert find(healthy) == ()
    worse = tuple(replace(each, val_loss=2.0, val_top1=0.58) for each in course)
    assert [each.rule for each in find(replace(healthy, epochs=worse))][:1] == ["underfit"]


def test_a_validation_loss_that_was_zero_is_no_crash():
    course = epochs(val=(1.9, 0.6, 0.0, 0.8, 0.9), top1=(0.99, 0.8))
    assert [each.rule for each in find(replace(HEALTHY, epochs=course))] == ["overfit"]


@pytest.mark.parametrize(
    ("sure", "noisy"),
    [
        ((91, 24, 5, 11, 0, 4, 6, 4, 0, 0), False),  # learnt badly: second guesses are right
        ((87, 6, 9, 9, 7, 6, 4, 5, 8, 7), True),  # labels anywhere
        ((85, 14, 6, 9, 7, 2, 8, 10, 11, 5), True),
    ],
)
def test_a_network_with_more_mistakes_of_its_own_cannot_tell_noise(sure, noisy):
    found = find(replace(HEALTHY, held_out=survey(sure=sure)))
    assert ("label-noise" in [each.rule for each in found]) == noisy


def test_a_class_that_was_never_seen_is_no_label_noise():
    sure = (400, 20, 5, 2, 1, 1, 0, 2, 20, 30)  # its labels are all at the end
    assert find(replace(HEALTHY, held_out=survey(sure=sure))) == ()


def test_the_share_of_wrong_labels_is_estimated():
    wrong = find(replace(HEALTHY, **SICK["label-noise"]))[0]
    assert wrong.what == "about 18% of the labels are wrong"  # 50 of 500 in 5 of 9 places
    turned = find(replace(HEALTHY, held_out=survey(sure=(0,) * 5 + (90,) * 5)))[0]
    assert turned.what == "about 100% of the labels are wrong"

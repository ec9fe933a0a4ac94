"""``convsmith plan``: what a person and a program read of it, and one line for a mistake."""

import json

import pytest

from convsmith.cli.main import main


def call(capsys, *words):
    """Run a command in this process; return its status, output and errors."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    printed = capsys.readouterr()
    return ended.value.code or 0, printed.out, printed.err


def test_a_plan_can_be_read_and_parsed(capsys):
    code, text, _ = call(capsys, "plan", "digits", "--device", "t4", "--set", "train.batch_size=32")
    as_json, out, _ = call(
        capsys, "plan", "digits", "--device", "t4", "--set", "train.batch_size=32", "--json"
    )
    assert (code, as_json) == (0, 0)
    plan = json.loads(out)
    assert f"{plan['parameters']:,} parameters" in text
    assert f"({plan['flops'] / 1e6:,.1f} MFLOP)" in text
    assert "a step " in text
    assert " for 32 images" in text
    assert text.rstrip().endswith(plan["answer"])
    assert {check["topic"] for check in plan["checks"]} >= {"receptive field", "memory", "schedule"}
    assert all(f"{check['topic']} " in text for check in plan["checks"])
    assert sum(layer["kept_share"] for layer in plan["layers"]) == pytest.approx(1)


def test_a_line_for_each_layer_is_had_on_request(capsys):
    _, stages, _ = call(capsys, "plan", "digits", "--device", "t4")
    _, layers, _ = call(capsys, "plan", "digits", "--device", "t4", "--layers")
    assert "BatchNorm2d" in layers
    assert "BatchNorm2d" not in stages
    assert layers.count("\n") > stages.count("\n")


@pytest.mark.parametrize(
    ("memory", "expected", "said"),
    [
        ("10MB", 0, "fits in"),
        ("4MB", 0, "; use --"),
        ("1MB", 1, "nor does any of the choices"),
    ],
)
def test_a_program_is_told_that_nothing_fits(capsys, memory, expected, said):
    words = ["plan", "digits", "--device", "t4", "--memory", memory]
    code, text, errors = call(capsys, *words)
    as_json, out, _ = call(capsys, *words, "--json")
    assert (code, as_json, errors) == (expected, expected, "")
    plan = json.loads(out)
    assert said in plan["answer"]
    assert text.rstrip().endswith(plan["answer"])
    assert any(each["fits"] for each in plan["choices"]) == (expected == 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["digits", "--device", "t5"], "no device is called 't5'"),
        (["digits", "--device", "gtx-1660"], "did you mean `gtx-1660-super`"),
        (["digits", "--device", "t4", "--memory", "6 gigs"], "'6 gigs' is not a size"),
        (["digits", "--device", "t4", "--memory", "0"], "'0' is not a size"),
        (["digit", "--device", "t4"], "did you mean `digits`"),
        (["digits", "--device", "t4", "--set", "budget.flops=-1"], "budget.flops"),
    ],
)
def test_a_mistake_is_one_line(capsys, words, said):
    code, _, errors = call(capsys, "plan", *words)
    assert code == 2
    assert said in errors
    assert "Traceback" not in errors

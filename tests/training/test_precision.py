"""Number formats: what is computed in them, clipping, and steps that must not happen."""

import math

import pytest
import torch
from torch import nn

from convsmith.errors import DeviceError
from convsmith.training.precision import gradient_norm, make_precision

CPU = torch.device("cpu")


def setting(precision):
    torch.manual_seed(0)
    model = nn.Linear(6, 3)
    return model, torch.optim.SGD(model.parameters(), 0.1), make_precision(precision, CPU)


def one_step(model, optimizer, precision, scale=1.0, *, clip_norm=None, step=0, first_bad=None):
    first_bad = torch.tensor(-1) if first_bad is None else first_bad
    optimizer.zero_grad()
    with precision.forward():
        out = model(torch.ones(4, 6))
    loss = out.float().square().mean() * scale
    precision.backward(loss)
    precision.step(
        optimizer, loss=loss.detach(), clip_norm=clip_norm, step=step, first_bad=first_bad
    )
    return int(first_bad), out.dtype


@pytest.mark.parametrize(
    ("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_the_network_computes_in_its_format_and_the_weights_stay_fp32(name, dtype):
    model, optimizer, precision = setting(name)
    before = model.weight.detach().clone()
    first_bad, found = one_step(model, optimizer, precision)
    assert (first_bad, found) == (-1, dtype)
    assert model.weight.dtype == torch.float32
    assert not torch.equal(model.weight, before)


def test_loss_scaling_does_not_change_the_step():
    plain, scaled = setting("fp32"), setting("fp16")
    one_step(*plain)
    one_step(*scaled)
    torch.testing.assert_close(plain[0].weight, scaled[0].weight, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("name", ["fp32", "bf16"])
@pytest.mark.parametrize("scale", [math.inf, math.nan])
def test_a_bad_step_is_marked_once_and_nothing_is_updated_from_there_on(name, scale):
    model, optimizer, precision = setting(name)
    one_step(model, optimizer, precision, step=3)
    weights, first_bad = model.weight.detach().clone(), torch.tensor(-1)
    assert one_step(model, optimizer, precision, scale, step=4, first_bad=first_bad)[0] == 4
    assert one_step(model, optimizer, precision, 1.0, step=5, first_bad=first_bad)[0] == 4
    assert torch.equal(model.weight, weights)


def test_an_overflow_of_scaled_gradients_leaves_out_one_step_and_halves_the_scale():
    model, optimizer, precision = setting("fp16")
    before, scale = model.weight.detach().clone(), precision.state_dict()["scale"]
    first_bad, _ = one_step(model, optimizer, precision, 1e34)
    assert first_bad == -1
    assert torch.equal(model.weight, before)
    assert precision.state_dict()["scale"] == scale / 2
    one_step(model, optimizer, precision)
    assert not torch.equal(model.weight, before)


def test_a_scale_that_falls_below_one_is_a_bad_step():
    model, optimizer, precision = setting("fp16")
    first_bad = torch.tensor(-1)
    steps = 0
    while int(first_bad) < 0:
        one_step(model, optimizer, precision, 1e38, step=steps, first_bad=first_bad)
        steps += 1
    assert steps == 17  # 2**16 halved seventeen times


def test_the_scaler_goes_on_from_its_state():
    _, _, precision = setting("fp16")
    precision.load_state_dict({"scale": 128.0, "growth_tracker": 7})
    assert precision.state_dict() == {"scale": 128.0, "growth_tracker": 7}


@pytest.mark.parametrize("name", ["fp32", "fp16"])
def test_clipping_bounds_the_norm_of_the_update(name):
    model, optimizer, precision = setting(name)
    before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
    one_step(model, optimizer, precision, clip_norm=0.01)
    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert float((before - after).norm()) == pytest.approx(0.1 * 0.01, rel=1e-3)


def test_the_norm_is_that_of_all_gradients_before_clipping():
    model, optimizer, _ = setting("fp32")
    model(torch.ones(4, 6)).square().sum().backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
    torch.testing.assert_close(gradient_norm(optimizer, 0.1), expected)


def test_an_unknown_precision_gets_the_nearest_name():
    with pytest.raises(DeviceError, match="did you mean `fp16`"):
        make_precision("f16", CPU)


class FusedOptimizer(torch.optim.SGD):
    """Records what a fused optimizer would read on the device."""

    _step_supports_amp_scaling = True


def test_a_fused_optimizer_is_told_by_the_device_not_to_step(monkeypatch):
    """On a GPU nothing waits: the mark itself is handed over. This tensor pretends to be there."""
    model = nn.Linear(6, 3)
    optimizer, stepped = FusedOptimizer(model.parameters(), 0.1), []
    monkeypatch.setattr(optimizer, "step", lambda: stepped.append(float(optimizer.found_inf)))

    class OnDevice(torch.Tensor):
        is_cuda = True

        def __int__(self):
            raise AssertionError("reading the mark makes the host wait")

    for value, expected in ((-1, 0.0), (5, 1.0)):
        mark = torch.tensor(value).as_subclass(OnDevice)
        make_precision("fp32", CPU)._step_unless(optimizer, mark)
        assert stepped[-1] == expected


def test_after_a_bad_step_in_fp16_the_next_ones_do_nothing_and_a_restored_run_goes_on():
    model, optimizer, precision = setting("fp16")
    one_step(model, optimizer, precision, step=0)
    kept, weights = precision.state_dict(), model.weight.detach().clone()
    first_bad = torch.tensor(-1)
    for step in (1, 2, 3):
        scale = math.inf if step == 1 else 1.0
        one_step(model, optimizer, precision, scale, step=step, first_bad=first_bad)
    assert int(first_bad) == 1
    assert torch.equal(model.weight, weights)
    precision.load_state_dict(kept)
    assert one_step(model, optimizer, precision, step=1, first_bad=first_bad.fill_(-1))[0] == -1
    assert not torch.equal(model.weight, weights)

"""Choosing a device and setting it up. The only file that knows cuDNN's switches."""

import os

import torch

from convsmith.errors import DeviceError

__all__ = ["bf16_supported", "configure", "fp16_unsafe", "resolve_device"]


def resolve_device(name: str = "auto") -> torch.device:
    """Return the device called ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    ``auto`` is the first GPU that this build of PyTorch has code for, else the CPU.

    Raises:
        DeviceError: there is no such device, or PyTorch has no code for it.
    """
    if name == "auto":
        usable = [i for i in range(gpu_count()) if not unsupported(i)]
        return torch.device("cuda", usable[0]) if usable else torch.device("cpu")
    if name == "cpu":
        return torch.device("cpu")
    kind, _, number = name.partition(":")
    if kind != "cuda" or (number and not number.isdigit()):
        raise DeviceError(f"no device is called {name!r}; there are auto, cpu, cuda and cuda:N")
    if gpu_count() == 0:
        reason = (
            "this PyTorch is built without CUDA"
            if torch.version.cuda is None
            else "no GPU is found"
        )
        raise DeviceError(f"device {name}: {reason}; use --device cpu (see `convsmith doctor`)")
    index = int(number or 0)
    if index >= gpu_count():
        last = gpu_count() - 1
        raise DeviceError(f"device {name}: there are {gpu_count()} GPUs, cuda:0 to cuda:{last}")
    reason = unsupported(index)
    if reason:
        raise DeviceError(f"device {name}: {reason}")
    return torch.device("cuda", index)


def gpu_count() -> int:
    """Return the number of GPUs that PyTorch sees."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def unsupported(index: int) -> str:
    """Return why this build of PyTorch cannot run on a GPU; empty if it can.

    Code for an ``sm_XY`` runs on the same major version from that minor version on; ``compute_XY``
    is compiled for anything newer.
    """
    major, minor = torch.cuda.get_device_capability(index)
    built = torch.cuda.get_arch_list()
    for architecture in built:
        kind, _, digits = architecture.partition("_")
        number = int("".join(c for c in digits if c.isdigit()))
        if kind == "sm" and number // 10 == major and number % 10 <= minor:
            return ""
        if kind == "compute" and number <= 10 * major + minor:
            return ""
    name = torch.cuda.get_device_name(index)
    return f"this PyTorch has no code for {name} (sm_{major}{minor}; built for {' '.join(built)})"


def configure(
    device: torch.device,
    *,
    deterministic: bool,
    fixed_size: bool,
) -> None:
    """Set a GPU up; on a CPU there is nothing to do.

    Args:
        device: the one that will be used.
        deterministic: choose algorithms that give the same bits every time, where there are any.
        fixed_size: otherwise let cuDNN try which is fastest, which pays if the size never changes.
    """
    if device.type != "cuda":
        return
    torch.cuda.set_device(device)
    if deterministic:  # cuBLAS reads this when it starts; see torch.use_deterministic_algorithms
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = fixed_size and not deterministic


def bf16_supported(device: torch.device) -> bool:
    """Return whether the device computes in bf16 itself, rather than emulating it."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    features = torch.backends.cpu.get_cpu_capability()
    return "AVX512" in features and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def fp16_unsafe(device: torch.device) -> str:
    """Return why fp16 is not tried on this device; empty if it is."""
    if device.type != "cuda":
        return "fp16 is slower than fp32 on a CPU"
    name = torch.cuda.get_device_name(device)
    if torch.cuda.get_device_capability(device) == (7, 5) and "GTX 16" in name:
        return f"{name} has no Tensor cores, and its fp16 convolutions are known to give NaN"
    if torch.cuda.get_device_capability(device) < (7, 0):
        return f"{name} has no Tensor cores, so fp16 gains nothing"
    return ""

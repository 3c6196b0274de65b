"""Where a scan runs: the device that a name stands for, what the archive calls it, and ways from it."""

from __future__ import annotations

import platform

import torch
from torch import Tensor

from spectra_cli.core.errors import UnknownNameError, UsageError
from spectra_cli.core.words.names import did_you_mean


def choose_device(name: str) -> torch.device:
    """The device named; `auto` is CUDA where there is one.

    Raises:
        UsageError: not a device, or CUDA asked for where there is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        meant = did_you_mean(name, ("auto", "cpu", "cuda"))
        raise UnknownNameError(f"--device {name}{meant}: expected auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"--device {name}: this machine has {torch.cuda.device_count()} CUDA devices")
    return device


def device_name(device: torch.device) -> str:
    """The device with its model, as the archive states it."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({platform.machine()})"


def host_zeros(*shape: int, dtype: torch.dtype, reads_from: torch.device) -> Tensor:
    """Zeros in the host's memory, into which a device copies unwaited for: `wait_for` it before reading."""
    return torch.zeros(shape, dtype=dtype, pin_memory=reads_from.type == "cuda")


def wait_for(device: torch.device) -> None:
    """Return once everything that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)

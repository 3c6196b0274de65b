"""The process as a training left it: what a scan inside it draws, switches and fills is put back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch


@contextmanager
def untouched() -> Iterator[None]:
    """Work inside as in a process of its own: no autocast, no inference mode, float32 by default.

    On every way out the random states of Python, numpy and torch (on the CPU and on every CUDA device that is
    in use) are what they were, and so are the modes.
    """
    of_python, of_numpy, of_torch = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    of_devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    dtype = torch.get_default_dtype()
    try:
        with ExitStack() as modes:
            modes.enter_context(torch.inference_mode(mode=False))
            modes.enter_context(torch.enable_grad())
            for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
                modes.enter_context(torch.autocast(device, enabled=False))
            if torch.get_default_device().type != "cpu":
                modes.enter_context(torch.device("cpu"))
            torch.set_default_dtype(torch.float32)
            yield
    finally:
        torch.set_default_dtype(dtype)
        random.setstate(of_python)
        np.random.set_state(of_numpy)  # noqa: NPY002 - what the training draws from, if it does
        torch.set_rng_state(of_torch)
        if of_devices is not None:
            torch.cuda.set_rng_state_all(of_devices)

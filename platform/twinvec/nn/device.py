"""The device to compute on."""

from __future__ import annotations

import os

import torch

from twinvec.errors import SettingsError


def resolve_device(name: str) -> torch.device:
    """Return the device called `name`; `auto` is a GPU if there is one, else the CPU.

    Raises:
        SettingsError: If the device does not exist on this machine.
    """
    if name == "auto":
        # Each of several processes on one machine has a GPU of its own.
        local_rank = os.environ.get("LOCAL_RANK")
        gpu = "cuda" if local_rank is None else f"cuda:{local_rank}"
        return torch.device(gpu if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise SettingsError(
            f"device {name!r} cannot be used: {str(error).splitlines()[0]}", "set `device` to auto or cpu"
        ) from error
    return device

"""Where to compute."""

from __future__ import annotations

import os

import torch

from twinvec.errors import SettingsError


def resolve_device(name: str) -> torch.device:
    """The device called `name`; `auto` is a GPU if there is one, else the CPU.

    Raises:
        SettingsError: if the device does not exist here.
    """
    if name == "auto":
        # Of several processes on one machine, each has a GPU of its own.
        mine = os.environ.get("LOCAL_RANK")
        gpu = "cuda" if mine is None else f"cuda:{mine}"
        return torch.device(gpu if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise SettingsError(
            f"device {name!r} cannot be used: {str(error).splitlines()[0]}", "set `device` to auto or cpu"
        ) from error
    return device

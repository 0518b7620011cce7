"""The device to compute on."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor

from twinvec.errors import SettingsError

_HAS_TRITON = find_spec("triton") is not None
Precision = Literal["auto", "float32", "bfloat16"]


def resolve_precision(name: Precision, device: torch.device) -> Literal["float32", "bfloat16"]:
    """Return the precision called `name`; `auto` is bfloat16 on a GPU that multiplies in it, else float32.

    Example:
        >>> resolve_precision("auto", torch.device("cpu"))
        'float32'
    """
    if name != "auto":
        return name
    return "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"


def training_precision(name: Precision, device: torch.device) -> Literal["float32", "bfloat16"]:
    """Return the precision of a text encoder's training; `auto` is bfloat16 where the device multiplies in it.

    On a CPU that has no such instruction, bfloat16 is computed in float32 and slower than that.
    """
    if name == "auto" and device.type == "cpu" and cpu_has_bfloat16():
        return "bfloat16"
    return resolve_precision(name, device)


def cpu_has_bfloat16() -> bool:
    """Return whether this machine's CPU multiplies matrices in bfloat16 (AVX-512 BF16, or AMX)."""
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def runs_triton(values: Tensor) -> bool:
    """Return whether Triton, which comes with torch's builds for GPUs, computes on the device of a tensor."""
    return values.is_cuda and _HAS_TRITON


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

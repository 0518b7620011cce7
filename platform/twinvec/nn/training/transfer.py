"""Transfer of a batch to the device, ahead of the step that needs it."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, cast

import numpy.typing as npt
import torch
from torch import Tensor

BatchT = TypeVar("BatchT")


def to_device(batch: BatchT, device: torch.device) -> BatchT:
    """Return a batch or an objective, a dataclass, with all on a device that can be; other values stay.

    Tensors go to a GPU from pinned memory, so that neither the copy nor the step waits for the other.
    """
    if device.type == "cpu" or not is_dataclass(batch):
        return batch
    values = {each.name: getattr(batch, each.name) for each in fields(batch) if each.init}
    moved = {
        name: _moved(value, device) if isinstance(value, Tensor) else value.to(device)
        for name, value in values.items()
        if hasattr(value, "to")
    }
    return cast(BatchT, replace(cast(Any, batch), **moved))


def array_on(values: npt.NDArray[Any], device: torch.device) -> Tensor:
    """Return an array as a tensor on a device."""
    return _moved(torch.from_numpy(values), device)


def _moved(values: Tensor, device: torch.device) -> Tensor:
    pinned = values.pin_memory() if device.type == "cuda" and values.device.type == "cpu" else values
    return pinned.to(device, non_blocking=True)

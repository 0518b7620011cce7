"""Transfer of a batch to the device, ahead of the step that needs it."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

BatchT = TypeVar("BatchT")


def to_device(batch: BatchT, device: torch.device) -> BatchT:
    """Return a batch, a dataclass, with its tensors on a device; other values stay.

    Tensors go to a GPU from pinned memory, so that neither the copy nor the step waits for the other.
    """
    if device.type == "cpu" or not is_dataclass(batch):
        return batch
    values = {each.name: getattr(batch, each.name) for each in fields(batch) if each.init}
    moved = {name: _moved(value, device) for name, value in values.items() if isinstance(value, Tensor)}
    return cast(BatchT, replace(cast(Any, batch), **moved))


def _moved(values: Tensor, device: torch.device) -> Tensor:
    pinned = values.pin_memory() if device.type == "cuda" and values.device.type == "cpu" else values
    return pinned.to(device, non_blocking=True)

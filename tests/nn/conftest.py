"""Shared by all tests of tensors."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Random tensors are the same in each run, and whatever ran before."""
    torch.manual_seed(20_263)

"""Memory that is freed, kept and given back."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from twinvec.nn.training.memory import freed_memory_kept


def resident_mib() -> float:
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 2**10


@pytest.mark.skipif(sys.platform != "linux", reason="of the C library of Linux")
def test_freed_memory_is_kept_until_the_end() -> None:
    before = resident_mib()
    with freed_memory_kept():
        for _ in range(40):
            torch.ones(16 * 2**20)  # 64 MiB, freed at once
        kept = resident_mib() - before
    assert 60 < kept < 40 * 64 / 3, "the memory of tensors that are gone is used for the next"
    assert resident_mib() - before < 30, "it goes back at the end"

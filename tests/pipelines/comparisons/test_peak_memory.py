"""Peak memory of a piece of work does not depend on what was in use before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.comparisons import peak_memory
from pipelines.comparisons.peak_memory import with_peak_memory

MIB = 2**20
CPU = torch.device("cpu")


def take(size: int) -> int:
    return int(np.ones(size * MIB, np.uint8).sum()) // MIB


@pytest.mark.skipif(not peak_memory.RESET.exists(), reason="Linux forgets earlier heights, others do not")
def test_an_earlier_height_does_not_count() -> None:
    assert take(150) == 150
    for size in (20, 60, 20):
        result, peak = with_peak_memory(lambda size=size: take(size), CPU)  # type: ignore[misc]
        assert result == size
        assert peak is not None
        # What is kept counts, and what the allocator takes at once for several needs.
        assert size - 2 <= peak / MIB <= size + 12


def test_where_it_cannot_be_told_it_is_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(peak_memory, "RESET", tmp_path / "none")
    assert with_peak_memory(lambda: 7, CPU) == (7, None)

"""Two processes train together: one model, each batch taken once, gradients averaged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from twinvec.nn import processes

SCRIPT = """
import sys
import torch
from torch import distributed
from twinvec.nn.features import Features
from twinvec.nn.models import MERLIN
from twinvec.nn.sampling.blocks import double_cover
from twinvec.nn.sampling.csr import CsrSampler
from twinvec.nn.training.loop import train
from twinvec.nn.losses.margin import MarginObjective

distributed.init_process_group("gloo")
torch.manual_seed(distributed.get_rank())  # different weights, of which the first process's must win
source, target = torch.arange(60), (torch.arange(60) + 7) % 60
graph = {name: double_cover(source, target, 60) for name in ("copurchase", "coview")}
model = MERLIN(8, 4, 2, list(graph))
content = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
history = train(
    model,
    Features(content, torch.zeros(120, 0)),
    CsrSampler(graph, dict.fromkeys(graph, -1), 2),
    MarginObjective(source, target, 60, target_offset=60, negatives=3, pool=30, margin=1.0, batch=10),
    epochs=4,
    learning_rate=1e-2,
    weight_decay=0.0,
    seed=3,
)
result = {"weights": model.state_dict(), "losses": [epoch.loss for epoch in history]}
torch.save(result, sys.argv[1] + str(distributed.get_rank()))
distributed.destroy_process_group()
"""


def test_two_processes_end_with_one_model(tmp_path: Path) -> None:
    script = tmp_path / "together.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(script), str(tmp_path / "result")], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(tmp_path / f"result{rank}") for rank in (0, 1))
    assert first["losses"] == second["losses"]
    assert first["losses"][-1] < first["losses"][0]
    for name, weights in first["weights"].items():
        assert torch.equal(weights, second["weights"][name]), name


def test_alone_a_process_takes_everything() -> None:
    assert list(processes.share(iter(range(5)))) == [0, 1, 2, 3, 4]
    model = torch.nn.Linear(2, 2)
    assert processes.parallel(model) is model


@pytest.mark.parametrize(("batches", "expected"), [(7, [[0, 2, 4], [1, 3, 5]]), (1, [[], []])])
def test_whole_rounds_are_shared(
    batches: int, expected: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in (0, 1):
        monkeypatch.setenv("RANK", str(rank))
        assert list(processes.share(iter(range(batches)))) == expected[rank]

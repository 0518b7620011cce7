import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("distil_process.py")
OPTIONS = {
    "epochs": 3,
    "batch": 4,
    "outputs": 64,
    "learning_rate": 1e-3,
    "log_steps": 1,
    "checkpoint_steps": 4,
}


def distil(
    folder: Path, processes: int = 1, kill_at: int = -1, status: int = 0, **options: Any
) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(start if processes > 1 else ()), str(SCRIPT)]
    out = folder / "out.json"
    arguments = [str(out), str(folder / "checkpoints"), str(kill_at), json.dumps(OPTIONS | options)]
    done = subprocess.run(
        [*command, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == status, done.stderr[-3000:]
    return json.loads(out.read_text()) if status == 0 else {}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Training from first to last, 15 steps of 4 pairs."""
    return distil(tmp_path_factory.mktemp("whole"))


def test_training_that_was_killed_goes_on_and_ends_where_it_would_have(
    tmp_path: Path, whole: dict[str, Any]
) -> None:
    distil(tmp_path, kill_at=10, status=-signal.SIGKILL)
    assert (tmp_path / "checkpoints" / "checkpoint-8").is_dir()
    resumed = distil(tmp_path)
    assert len(whole["losses"]) == 15
    np.testing.assert_allclose(resumed["losses"], whole["losses"][8:], atol=1e-5)
    np.testing.assert_allclose(resumed["vectors"], whole["vectors"], atol=1e-5)


def test_two_processes_are_one_with_a_larger_batch(tmp_path: Path) -> None:
    large = distil(tmp_path / "large", batch=8)
    shared = distil(tmp_path / "shared", processes=2)
    assert len(large["losses"]) == 7
    np.testing.assert_allclose(shared["losses"], large["losses"], rtol=1e-4)
    np.testing.assert_allclose(shared["vectors"], large["vectors"], atol=1e-3)


def test_two_batches_a_step_see_what_one_larger_batch_sees(tmp_path: Path, whole: dict[str, Any]) -> None:
    accumulated = distil(tmp_path, accumulate=2)
    assert len(accumulated["losses"]) == 7
    # Distributions are centred batch by batch, so it is near a larger batch and no more; the first step begins
    # with the weights that training without accumulation begins with.
    first = np.mean(whole["losses"][:1])
    np.testing.assert_allclose(accumulated["losses"][0], first, rtol=0.2)


def test_mixed_precision_stays_near(tmp_path: Path, whole: dict[str, Any]) -> None:
    mixed = distil(tmp_path, precision="bfloat16")
    np.testing.assert_allclose(mixed["losses"], whole["losses"], rtol=0.05)
    assert mixed["losses"] != whole["losses"]


def test_figures_tell_throughput_memory_and_spread(whole: dict[str, Any]) -> None:
    figures = whole["figures"]
    assert figures["training_images_per_second"] > 0
    assert figures["peak_memory_bytes"] > 1e7
    assert figures["teacher_deviation"] > 0.05
    assert 0 < figures["teacher_entropy"] < figures["teacher_mean_entropy"] <= 1

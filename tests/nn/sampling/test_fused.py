"""The kernels for GPUs, in Triton's interpreter on the CPU, which a process has from its start or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")


def test_the_kernels_beside_plain_torch() -> None:
    ran = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("kernels.py"))],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr

"""Importing the library leaves the process as it was, and is quick."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = "{'torch', 'feast', 'mlflow', 'dgl', 'pandas', 'numpy', 'pyarrow', 'sqlalchemy', 'alembic', 'qdrant_client'}"


def run(root: Path, script: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_import_twinvec_is_light(root: Path) -> None:
    script = f"""
import sys, time
started = time.perf_counter()
import twinvec
print(time.perf_counter() - started)
assert not {HEAVY} & set(sys.modules), {HEAVY} & set(sys.modules)
"""
    assert min(float(run(root, script)) for _ in range(3)) < 0.3


@pytest.mark.parametrize("module", ["twinvec.tracking", "twinvec.tracking.environment", "twinvec.plugins"])
def test_what_the_command_imports_first_is_light(root: Path, module: str) -> None:
    run(root, f"import sys, {module}; assert not {HEAVY} & set(sys.modules)")


@pytest.mark.slow
def test_imports_leave_no_trace(root: Path) -> None:
    run(
        root,
        """
import atexit, logging, os, sys
ours = []
register = atexit.register
def recorded(function, *arguments, **named):
    if str(getattr(function, "__module__", None)).split(".")[0] in ("twinvec", "pipelines", "registry"):
        ours.append(function)
    return register(function, *arguments, **named)
atexit.register = recorded

# Libraries may set variables of their own; ours set none.
import mlflow, torch, feast, ibis, transformers, sentence_transformers, matplotlib, alembic, duckdb
import feast.infra.offline_stores.duckdb
before = dict(os.environ)
import twinvec.tracking.exporting, twinvec.tracking.loading, twinvec.tracking.aliases, twinvec.tracking.reports
import twinvec.features.store, twinvec.features.asof, twinvec.serving.related, twinvec.vectors.edge, twinvec.releases
import twinvec.doctor, pipelines.cold_start.models, pipelines.update.models
changed = {name for name in os.environ.keys() | before.keys() if os.environ.get(name) != before.get(name)}
assert not any(name.startswith(("MLFLOW_", "TWINVEC_")) for name in changed), changed
assert ours == [], ours
assert None not in sys.modules.values(), [name for name, module in sys.modules.items() if module is None]
assert ibis.options.default_backend is None
from mlflow.utils.logging_utils import MLFLOW_LOGGING_STREAM
assert MLFLOW_LOGGING_STREAM.enabled
""",
    )

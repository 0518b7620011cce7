"""The whole road from the command, on the synthetic store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipelines.command import app
from pipelines.command.demo import BRIEF


@pytest.mark.slow
def test_the_demo_shows_complements_and_is_quick_when_nothing_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TWINVEC_HOME", str(home))
    # As the demo trains, so that nothing is stale after it.
    for group, settings in BRIEF.items():
        for name, value in settings.items():
            text = json.dumps(value) if isinstance(value, dict) else value
            monkeypatch.setenv(f"TWINVEC_{group}__{name}".upper(), text)

    def twinvec(*arguments: str) -> str:
        command = [str(Path(sys.executable).parent / "twinvec"), *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    def twinvec_here(*arguments: str) -> str:
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    first = json.loads(twinvec("demo", "--json"))
    assert first["live"] == "related_products__v1"
    truth = pq.read_table(home / "demo" / "tiny-0" / "truth" / "complements.parquet").to_pydict()
    complements = set(zip(truth["source"], truth["target"], strict=True))
    found = [
        (answer["product"]["product_id"], hit["product"]["product_id"])
        for answer in first["related"]
        for hit in answer["hits"]
    ]
    assert len(found) == 20
    right = sum(pair in complements for pair in found)
    assert right >= 10, f"{right} of 20 shown are true complements"

    started, cpu = time.perf_counter(), os.times()
    again = json.loads(twinvec("demo", "--json"))
    seconds, used = time.perf_counter() - started, os.times()
    assert again == first
    spent = used.children_user + used.children_system - cpu.children_user - cpu.children_system
    assert spent < 5, f"{spent:.1f} s of CPU, {seconds:.1f} s in all"

    # In this process from here on, which has done their imports.
    status = json.loads(twinvec_here("status", "--json"))
    assert not any(stage["stale"] for stage in status["stages"] if stage["version"])
    assert len(status["releases"]) == 1
    figures = json.loads(twinvec_here("evaluate", "--json"))
    assert figures["version"] == "related@v1"
    assert 0 < figures["mrr_at_10"] < 1

    # Rolled back from on purpose: a later run must not bring it back.
    monkeypatch.setenv("TWINVEC_QDRANT__EF_CONSTRUCT", "100")
    twinvec_here("publish")
    assert json.loads(twinvec_here("promote", "--json"))["release"] == "related_products@v2"
    assert json.loads(twinvec_here("rollback", "--json"))["release"] == "related_products@v1"
    assert json.loads(twinvec_here("run", "--json"))["live"] == "related_products__v1"

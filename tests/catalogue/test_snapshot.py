import json
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from twinvec.catalogue.snapshot import Snapshot, open_snapshot
from twinvec.errors import CatalogueError, NotFoundError


@pytest.fixture
def snapshot(tmp_path: Path, ingest_into: Any) -> Snapshot:
    path = tmp_path / "o'clock.csv"
    path.write_text("order_id,product_id\n1,a\n1,b\n")
    result: Snapshot = ingest_into(path, "orders").snapshot
    return result


def test_it_opens_as_it_was_written(snapshot: Snapshot) -> None:
    assert open_snapshot(snapshot.path) == snapshot
    assert snapshot.created_at.tzinfo == UTC
    assert len(snapshot.id) == 16
    assert snapshot.tables == {"products": 2, "orders": 2, "copurchase": 1, "coview": 0}


def test_its_connection_has_a_view_a_table_and_a_memory_limit(snapshot: Snapshot) -> None:
    with snapshot.connect("200MiB") as connection:
        views = connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
        assert {name for (name,) in views} == {*snapshot.tables, "listings"}
        assert connection.execute("SELECT current_setting('memory_limit')").fetchone() == ("200.0 MiB",)


def test_a_table_it_does_not_have_is_named(snapshot: Snapshot) -> None:
    with pytest.raises(NotFoundError, match="has no table 'views'") as raised:
        snapshot.table("views")
    assert raised.value.hint == "it has copurchase, coview, orders, products"


def test_a_missing_snapshot_names_those_there(snapshot: Snapshot) -> None:
    with pytest.raises(NotFoundError) as raised:
        open_snapshot(snapshot.path.with_name("0" * 16))
    assert raised.value.hint == f"there are: {snapshot.id}"


def break_record(path: Path) -> None:
    (path / "snapshot.json").write_text("{")


def forget_field(path: Path) -> None:
    record = json.loads((path / "snapshot.json").read_text())
    del record["directed"]
    (path / "snapshot.json").write_text(json.dumps(record))


def lose_table(path: Path) -> None:
    (path / "coview.parquet").unlink()


def cut_table(path: Path) -> None:
    content = (path / "products.parquet").read_bytes()
    (path / "products.parquet").write_bytes(content[:-20])


def swap_tables(path: Path) -> None:
    (path / "orders.parquet").write_bytes((path / "products.parquet").read_bytes())


def rename_record(path: Path) -> None:
    record = json.loads((path / "snapshot.json").read_text())
    (path / "snapshot.json").write_text(json.dumps(record | {"id": "f" * 16}))


DAMAGES = [break_record, forget_field, lose_table, cut_table, swap_tables, rename_record]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_noticed_and_ingesting_again_mends_it(
    snapshot: Snapshot, tmp_path: Path, ingest_into: Any, damage: Any
) -> None:
    damage(snapshot.path)
    with pytest.raises(CatalogueError, match="is damaged"):
        open_snapshot(snapshot.path)
    mended = ingest_into(tmp_path / "o'clock.csv", "orders").snapshot
    assert mended.id == snapshot.id
    assert open_snapshot(mended.path).tables == snapshot.tables

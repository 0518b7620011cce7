import gzip
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import Engine

from registry.database import transaction
from registry.models import Base
from registry.snapshots import all_snapshots
from twinvec.catalogue.loaders import find_loader, loader_names, source_columns
from twinvec.catalogue.quarantine import prepare
from twinvec.errors import CatalogueError, NotFoundError


def literals(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(map(repr, rows)))
    return path


def recorded(engine: Engine) -> list[str]:
    with transaction(engine) as session:
        return [row.id for row in all_snapshots(session)]


def kept(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "snapshots").iterdir())


CATALOGUE = [
    {"asin": f"A{n}", "price": float(n), "related": {"also_bought": [f"A{n + 1}", f"A{n + 2}"]}}
    for n in range(20)
]


def test_the_same_data_gives_the_same_snapshot(
    tmp_path: Path, ingest_into: Any, home: Path, engine: Engine
) -> None:
    first = ingest_into(literals(tmp_path / "one.json", CATALOGUE), "amazon-2014")
    second = ingest_into(literals(tmp_path / "two.json", CATALOGUE[::-1]), "amazon-2014")
    assert (first.new, second.new) == (True, False)
    assert first.snapshot == second.snapshot
    assert kept(home) == recorded(engine) == [first.snapshot.id]
    with transaction(engine) as session:
        row = all_snapshots(session)[0]
    assert (row.format, row.products, Path(row.path)) == ("amazon-2014", 20, first.snapshot.path)
    assert row.report["tables"] == first.snapshot.tables
    assert row.report["left_out"]["copurchase"] == {"unknown product": 3}


def test_other_data_gives_another_snapshot(tmp_path: Path, ingest_into: Any, engine: Engine) -> None:
    ids = {
        ingest_into(literals(tmp_path / "s", CATALOGUE[:n]), "amazon-2014").snapshot.id for n in (18, 19, 20)
    }
    assert set(recorded(engine)) == ids
    assert len(ids) == 3


def test_images_may_move(tmp_path: Path, ingest_into: Any) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "orders.csv").write_text("order_id,product_id,image\n1,a,a.png\n")
    here = ingest_into(tmp_path / "here", "orders").snapshot
    there = ingest_into(tmp_path / "there", "orders").snapshot
    assert there.id == here.id
    assert there.image_root == str(tmp_path / "there")


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(25)), threads=st.sampled_from([1, 3]))
def test_the_order_of_rows_does_not_change_the_id(
    tmp_path: Path, ingest_into: Any, order: list[int], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_threads(connection: Any) -> None:
        connection.execute(f"SET threads = {threads}")
        prepare(connection)

    monkeypatch.setattr(
        "twinvec.catalogue.ingest.prepare",
        with_threads,
    )
    rows = [f"{n % 7},p{n % 5},2024-01-{n + 1:02}" for n in range(25)]
    path = tmp_path / "log.csv"
    path.write_text("\n".join(["order_id,product_id,time", *(rows[n] for n in order)]))
    known = tmp_path / "id"
    found = ingest_into(path, "orders").snapshot.id
    if not known.exists():
        known.write_text(found)
    assert found == known.read_text()


def test_too_many_bad_rows_fail_with_examples_and_leave_nothing(
    tmp_path: Path, ingest_into: Any, home: Path, engine: Engine
) -> None:
    bad: list[Any] = [{"asin": 1.5}, {"asin": 2.5}, {"title": "no id"}]
    source = literals(tmp_path / "bad.json", [*CATALOGUE, *bad])
    with pytest.raises(CatalogueError) as raised:
        ingest_into(source, "amazon-2014", max_quarantined=0.1)
    assert raised.value.message.splitlines() == [
        "3 of 23 rows of products break the contract, more than the 10% allowed:",
        "  2 × product_id is a float, which is no id, as in row 21: {'asin': 1.5}",
        "  1 × no product_id, as in row 23: {'title': 'no id'}",
    ]
    assert kept(home) == recorded(engine) == []
    assert ingest_into(source, "amazon-2014", max_quarantined=3 / 23).snapshot.tables["products"] == 20


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("amazon-2014", b"", "no usable product among 0 rows"),
        ("amazon-2014", b"\n\n", "no usable product among 0 rows"),
        ("amazon-2014", gzip.compress(b"", mtime=0), "no usable product among 0 rows"),
        ("amazon-2014", gzip.compress(repr(CATALOGUE[0]).encode() * 50, mtime=0)[:-9], "damaged gzip"),
        ("amazon-2018", b"\xff\xfe{\x00", "is UTF-16 text, which is not read"),
        ("amazon-2018", b"{\xff}", "1 × not UTF-8, as in row 1"),
        ("orders", b"", "has no header: the file is empty"),
        ("orders", gzip.compress(b"order_id,product_id\n" + b"1,a\n" * 99, mtime=0)[:-9], "damaged gzip"),
        ("orders", b"order_id,thing\n1,a\n", "no column 'product_id'"),
        ("parquet", b"", r"has no products\.parquet"),
    ],
)
def test_a_source_that_cannot_be_used_leaves_nothing(
    tmp_path: Path, ingest_into: Any, home: Path, engine: Engine, kind: str, content: bytes, message: str
) -> None:
    source = tmp_path / "source"
    source.write_bytes(content)
    with pytest.raises(CatalogueError, match=message):
        ingest_into(source, kind)
    assert kept(home) == recorded(engine) == []


def test_a_registry_that_refuses_leaves_no_folder(
    tmp_path: Path, ingest_into: Any, home: Path, engine: Engine
) -> None:
    Base.metadata.drop_all(engine)
    with pytest.raises(Exception, match="no such table"):
        ingest_into(literals(tmp_path / "s", CATALOGUE), "amazon-2014")
    assert kept(home) == []


def test_a_missing_source_and_an_unknown_format_are_named(tmp_path: Path, ingest_into: Any) -> None:
    with pytest.raises(NotFoundError, match=r"no such file or folder: .*nowhere"):
        ingest_into(tmp_path / "nowhere", "orders")
    with pytest.raises(CatalogueError, match="unknown format 'amazon2014'") as raised:
        ingest_into(tmp_path, "amazon2014")
    assert raised.value.hint.startswith("did you mean amazon-2014?")
    assert all(name in raised.value.hint for name in loader_names())


def test_formats_are_declared() -> None:
    own = ["amazon-2014", "amazon-2018", "amazon-2023", "esci", "esci-small", "fashion", "orders", "parquet"]
    assert loader_names() == own
    assert all(find_loader(name).reads for name in loader_names())
    assert source_columns().keys() == {"orders"}


def test_a_column_that_no_loader_reads_is_refused(tmp_path: Path, ingest_into: Any) -> None:
    with pytest.raises(ValueError, match="no loader reads a column 'ordr_id'; did you mean order_id"):
        ingest_into(tmp_path, "orders", columns={"ordr_id": "Person"})


def test_large_baskets_make_no_pairs_and_are_counted(tmp_path: Path, ingest_into: Any) -> None:
    path = tmp_path / "log.csv"
    path.write_text("order_id,product_id\n" + "".join(f"big,p{n}\n" for n in range(4)) + "2,p0\n2,p1\n")
    report = ingest_into(path, "orders", max_basket=3)
    assert report.left_out["copurchase"] == {"basket of more than 3 products": 1}
    assert report.snapshot.tables["copurchase"] == 1
    assert report.snapshot.tables["orders"] == 6

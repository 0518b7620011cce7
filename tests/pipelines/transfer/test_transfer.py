"""Transfer of behaviour: who lends to whom, what is lent, and what the graph makes of it, against plain loops."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import twinvec
from pipelines.command import app
from pipelines.graph.product_graph import Split, load_graph
from pipelines.graph.transferred import add_lent
from pipelines.transfer.lending import lend
from pipelines.transfer.mapping import choose_targets
from pipelines.transfer.pipeline import transfer
from registry.models import Version
from twinvec.catalogue.synthetic import generate
from twinvec.catalogue.transfers import LENT
from twinvec.doctor import transfers
from twinvec.errors import CatalogueError, NotFoundError, StateError
from twinvec.home import Home
from twinvec.releases import retention
from twinvec.serving.related import UnusableProductError
from twinvec.serving.similar import NewListing
from twinvec.workspace import Workspace

SETTINGS = {
    "words": ["title", "attributes"],
    "images": False,
    "max_length": 24,
    "epochs": 1,
    "dimension": 32,
    "hidden": 64,
    "batch": 64,
}


LINES = "SELECT product_id FROM orders UNION ALL SELECT product_id FROM views"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("transfer")
    generate(folder / "store", 200, seed=2, images=False, listings=True)
    with twinvec.open(folder / "home", device="cpu", similar=SETTINGS) as opened:
        opened.ingest(folder / "store")
        with pytest.raises(StateError, match="no release of similar_products is live"):
            transfer(opened.workspace, ["us"], "mx")
        opened.train("similar")
        opened.publish("similar", name="similar_products")
        opened.promote(name="similar_products")
        yield opened


def rows(home: Home, query: str) -> list[tuple[str, ...]]:
    with home.workspace.snapshot().connect() as connection:
        found: list[tuple[str, ...]] = connection.execute(query).fetchall()
    return found


@pytest.mark.parametrize(("stores", "to"), [(["us"], "mx"), (["us", "es"], "us")])
def test_each_product_borrows_from_the_established_ones_most_like_it(
    home: Home, stores: list[str], to: str
) -> None:
    k, threshold, established = 2, 0.5, 6
    made = transfer(home.workspace, stores, to, threshold, k, established)
    events = Counter(item for (item,) in rows(home, LINES))
    listed = rows(home, "SELECT item_id, product_id, marketplace FROM listings ORDER BY item_id")
    vectors = home.vectors("similar", [item for item, _, _ in listed]).to_numpy()["similar_vector"]
    near: dict[str, dict[str, tuple[bool, float]]] = defaultdict(dict)
    for row, (_, product, store) in enumerate(listed):
        if store != to or events[product] >= established:
            continue
        near[product] = near.get(product, {})
        for place, (_, lender, other) in enumerate(listed):
            cosine = float(vectors[row] @ vectors[place])
            if other in stores and events[lender] >= established and cosine >= threshold:
                same, best = near[product].get(lender, (False, -1.0))
                near[product][lender] = (same or other == to, max(best, cosine))
    mapping = pq.read_table(home.settings.paths.transfers / made.name / "mapping.parquet").to_pylist()
    found: dict[str, dict[str, tuple[float, float]]] = defaultdict(dict)
    for each in mapping:
        found[each["product_id"]][each["lender"]] = (each["cosine"], each["weight"])
    assert made.products == len(near)
    assert found.keys() == {product for product, lenders in near.items() if lenders}
    assert made.mapped == len(found) > 5
    for product, lenders in found.items():
        ranked = sorted((not same, -cosine) for same, cosine in near[product].values())
        assert len(lenders) == min(k, len(ranked))
        expected = [-cosine for _, cosine in ranked[:k]]
        assert sorted(cosine for cosine, _ in lenders.values()) == pytest.approx(sorted(expected), abs=1e-3)
        for cosine, weight in lenders.values():
            assert weight == pytest.approx(cosine / len(lenders))


def test_what_is_lent_is_what_a_plain_loop_lends() -> None:
    random = np.random.default_rng(5)
    names = [f"p{number}" for number in range(12)]
    mapping = {
        (names[8 + b], names[a]): float(w)
        for a, b, w in zip(random.integers(0, 8, 7), random.integers(0, 4, 7), random.random(7), strict=True)
    }
    sold = names[4:]
    tables = {
        kind: {(names[a], names[b]): int(c) for a, b, c in random.integers(0, 12, (30, 3)) if a != b}
        for kind in ("copurchase", "coview")
    }
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE mapping (product_id VARCHAR, lender VARCHAR, weight DOUBLE)")
        connection.executemany(
            "INSERT INTO mapping VALUES (?, ?, ?)", [(*key, w) for key, w in mapping.items()]
        )
        connection.execute("CREATE TABLE listings (product_id VARCHAR, marketplace VARCHAR)")
        stores = [(name, "mx") for name in sold] + [(name, "us") for name in names]
        connection.executemany("INSERT INTO listings VALUES (?, ?)", stores)
        for kind, pairs in tables.items():
            connection.execute(f"CREATE TABLE {kind} (source VARCHAR, target VARCHAR, count BIGINT)")
            connection.executemany(
                f"INSERT INTO {kind} VALUES (?, ?, ?)", [(*pair, c) for pair, c in pairs.items()]
            )
        counts = lend(connection, "mx")
        table = connection.sql("FROM lent").to_arrow_table()
    assert table.schema.names == LENT.names
    key = ("behaviour", "source", "target", "lender_source", "lender_target")
    lent = {tuple(each[name] for name in key): each["count"] for each in table.to_pylist()}
    expected: dict[tuple[str, str, str, str, str], float] = {}
    unsold = 0
    for kind, pairs in tables.items():
        for (source, target), count in pairs.items():
            ends = []
            for end in (source, target):
                ends.append([(product, w) for (product, lender), w in mapping.items() if lender == end])
                ends[-1] += [(end, 1.0)] if end in sold else []
            borrowed = any((product, end) in mapping for end in (source, target) for product in names)
            some = {
                (kind, a, b, source, target): count * v * w
                for a, v in ends[0]
                for b, w in ends[1]
                if a != b and (a, b) != (source, target)
            }
            unsold += borrowed and not some
            expected |= some
    assert lent == pytest.approx(expected)
    assert counts["unsold"] == unsold
    assert counts["copurchase"] + counts["coview"] == len(expected)


@pytest.mark.parametrize("directed", [False, True])
def test_only_training_edges_lend_and_as_they_run(directed: bool, tmp_path: Path) -> None:
    lent = [
        ("copurchase", "x", "b", 1.2, "a", "b"),  # a → b trains
        ("copurchase", "x", "b", 0.6, "c", "b"),  # c → b trains, and adds to it
        ("copurchase", "x", "d", 1.0, "a", "d"),  # a → d is held out
        ("copurchase", "x", "e", 1.0, "a", "e"),  # the edge runs from e to a
        ("copurchase", "y", "b", 0.1, "a", "b"),  # too little
        ("copurchase", "c", "b", 1.0, "a", "b"),  # trains already
        ("coview", "y", "b", 5.0, "a", "b"),  # of the other kind
    ]
    columns = [*zip(*lent, strict=True)]
    columns.insert(4, columns[3])
    pq.write_table(pa.table([pa.array(each) for each in columns], LENT), tmp_path / "lent.parquet")
    with duckdb.connect() as connection:
        connection.execute(
            """CREATE TABLE node AS
               SELECT unnest(range(7)) AS node, unnest(['a', 'b', 'c', 'd', 'e', 'x', 'y']) AS product_id"""
        )
        connection.execute("CREATE TABLE edges (source BIGINT, target BIGINT, count BIGINT, split TINYINT)")
        own = [(0, 1, 3, 0), (2, 1, 1, 0), (0, 3, 1, 2), (4, 0, 1, 0), (5, 1, 1, 2)]
        connection.executemany("INSERT INTO edges VALUES (?, ?, ?, ?)", own)
        # The same table twice lends once.
        files = [tmp_path / "lent.parquet"] * 2
        added = add_lent(connection, files, "copurchase", "edges", directed, 0.25)
        edges = connection.execute("FROM edges").fetchall()
    # The first has 1.2 and .6 in all, and an edge weighs 1 at most.
    expected = [(5, 1, 2, 0, 1.0)] + ([] if directed else [(4, 5, 1, 0, 1.0)])
    assert sorted(edges) == sorted([(*edge, 1.0) for edge in own] + expected)
    assert added == len(expected)


@pytest.mark.parametrize("behaviour", ["copurchase", "coview"])
def test_products_with_many_own_edges_borrow_less(tmp_path: Path, behaviour: str) -> None:
    random = np.random.default_rng(8)
    own = {(int(a), int(b)) for a, b in random.integers(0, 12, (70, 2)) if a < b}
    lent: list[dict[str, Any]] = [
        {
            "behaviour": behaviour,
            "source": f"p{a}",
            "target": f"p{b}",
            "count": 1.0,
            "confidence": 1.0,
            "lender_source": f"p{s}",
            "lender_target": f"p{t}",
        }
        for (s, t), a, b in zip(sorted(own), *random.integers(0, 12, (2, len(own))), strict=True)
        if a != b
    ]
    pq.write_table(pa.Table.from_pylist(lent, LENT), tmp_path / "lent.parquet")
    half, least, found = 2.0, 0.4, {}
    for each in (None, half):
        with duckdb.connect() as connection:
            connection.register(
                "node", pa.table({"node": range(12), "product_id": [f"p{n}" for n in range(12)]})
            )
            connection.execute(
                "CREATE TABLE edges (source BIGINT, target BIGINT, count BIGINT, split TINYINT)"
            )
            connection.executemany(
                "INSERT INTO edges VALUES (?, ?, 1, 0)", [list(pair) for pair in sorted(own)]
            )
            add_lent(connection, [tmp_path / "lent.parquet"], behaviour, "edges", True, least, each)
            rows = connection.execute("SELECT source, target, weight FROM edges").fetchall()
            weights = {(source, target): weight for source, target, weight in rows}
            assert {weights.pop(pair) for pair in own} == {1.0}
            found[each] = weights
    leaving = Counter(source for source, _ in own)
    touching = Counter(end for pair in own for end in pair)

    def fewest(pair: tuple[int, int]) -> int:
        return leaving[pair[0]] if behaviour == "copurchase" else min(touching[end] for end in pair)

    sums = Counter((int(each["source"][1:]), int(each["target"][1:])) for each in lent)
    assert found[None] == dict.fromkeys(set(sums) - own, 1.0)
    counted = {pair: sums[pair] * half / (half + fewest(pair)) for pair in found[None]}
    assert found[half] == pytest.approx(
        {pair: min(1, sum_) for pair, sum_ in counted.items() if sum_ >= least}
    )
    assert min(found[half].values()) < 1
    assert 0 < len(found[half]) < len(found[None])


def test_the_graph_uses_it_only_if_told_and_logs_stay_as_they_are(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = home.workspace.snapshot()
    before = {file.name: file.read_bytes() for file in snapshot.path.iterdir()}
    plain = {step.space: step.version for step in home.train("graph")}["graph"]
    monkeypatch.setenv("TWINVEC_HOME", str(home.settings.home))
    answer = CliRunner().invoke(
        app, ["transfer", "--from", "us", "--to", "mx", "--threshold", "0.5", "--json"]
    )
    assert answer.exit_code == 0, answer.output
    made = json.loads(answer.stdout)
    assert made["mapped"] > 0
    assert made["copurchase"] > 0
    shown = CliRunner().invoke(app, ["transfer", "--from", "us", "--to", "mx", "--threshold", "0.5"])
    assert f"transfer {made['name']}:" in shown.output
    assert {file.name: file.read_bytes() for file in snapshot.path.iterdir()} == before
    assert home.train("graph")[-1].reason == "up to date"
    with twinvec.open(home.settings.home, device="cpu", graph={"transferred": [made["name"]]}) as other:
        version = {step.space: step.version for step in other.train("graph")}["graph"]
    assert plain is not None
    assert version is not None
    assert version.id != plain.id
    lent = int(version.metrics["lent_copurchase_edges"])
    assert lent > 0
    old, new = (load_graph(Path(each.path)) for each in (plain, version))
    assert len(new.edges(Split.TRAIN)) == len(old.edges(Split.TRAIN)) + lent
    for split in (Split.VALIDATION, Split.TEST):
        np.testing.assert_array_equal(new.edges(split).ends, old.edges(split).ends)
    with (
        twinvec.open(home.settings.home, device="cpu", graph={"transferred": ["0123"]}) as other,
        pytest.raises(NotFoundError, match="names '0123', and there is no such transfer"),
    ):
        other.train("graph")


def test_nothing_is_written_where_nothing_can_be_lent(home: Home) -> None:
    folder = home.settings.paths.transfers
    before = sorted(folder.glob("*"))
    with pytest.raises(NotFoundError, match="no listing is in the marketplace 'mars'"):
        transfer(home.workspace, ["us"], "mars")
    with pytest.raises(NotFoundError, match="'venus'"):
        transfer(home.workspace, ["venus"], "mx")
    with pytest.raises(CatalogueError, match=r"like an established one of us.*\n?.*nothing was written"):
        transfer(home.workspace, ["us"], "mx", established=100_000)
    with home.workspace.snapshot().connect() as connection:
        connection.execute("CREATE TABLE established AS SELECT product_id FROM products")
        with pytest.raises(CatalogueError, match="all products of us have at least 1 events"):
            choose_targets(connection, ["us"], "us", 1)
    assert sorted(folder.glob("*")) == before


def test_an_image_alone_says_nothing_to_a_release_that_reads_none(home: Home) -> None:
    with pytest.raises(UnusableProductError, match=r"nothing is said(.|\n)*give it a title or attributes$"):
        home.similar(NewListing(image=b"an image"))


def test_doctor_and_prune_know_transfers(home: Home) -> None:
    first, second = (home.transfer(["us"], "mx", threshold=each, established=4) for each in (0.3, 0.35))
    other = home.transfer(["es"], "us", threshold=0.3, established=4)
    folders = {each: home.settings.paths.transfers / each.name for each in (first, second, other)}
    for age, folder in enumerate(folders.values()):
        os.utime(folder, (4_000_000_000 + age,) * 2)  # after those of the other tests
    named = home.settings.model_copy(
        update={"graph": home.settings.graph.model_copy(update={"transferred": (first.name, "feed")})}
    )
    (folders[other] / "mapping.parquet").write_bytes(b"no table")

    findings = {each.where: each for each in transfers.check(Workspace(named), False)}
    assert findings.keys() == {f"transfer {other.name}", "graph.transferred feed"}
    assert "cannot be read" in findings[f"transfer {other.name}"].what

    kept_all, reasons = retention.spare_transfers(named, [])
    assert first.name not in kept_all
    assert reasons[f"transfer {first.name}"] == "graph.transferred names it"
    graph = Version(space="graph", number=3, settings={"graph": {"transferred": [first.name]}})
    assert first.name not in retention.spare_transfers(home.settings, [graph])[0]

    pruned = retention.prune(home.workspace, home.settings.retention)
    assert first.name in pruned.plan.transfers
    assert pruned.plan.kept[f"transfer {second.name}"] == "the last one to mx"
    assert [folders[each].is_dir() for each in (first, second, other)] == [False, True, True]
    fix = findings[f"transfer {other.name}"].fix
    assert fix is not None
    fix()
    assert not folders[other].exists()

"""Times of snapshots, and the history of products that a point-in-time join reads."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore
from typer.testing import CliRunner

import twinvec
from pipelines.command import app
from registry.database import RegistryError, transaction
from registry.snapshots import snapshot_times
from twinvec.catalogue.as_of import read_time
from twinvec.doctor import mend
from twinvec.doctor.features import check_views
from twinvec.errors import CatalogueError
from twinvec.features.repository import home_objects
from twinvec.home import Home

DAY = timedelta(days=1)
JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
FIELDS = ["title", "category", "price"]
Catalogue = Mapping[str, float]


def shop(folder: Path, prices: Catalogue) -> Path:
    """Write a catalogue: product → price."""
    folder.mkdir(parents=True)
    rows = [f"{key},{key} for {price},Root > {key},{price}" for key, price in prices.items()]
    (folder / "products.csv").write_text("\n".join(["product_id,title,category,price", *rows]) + "\n")
    orders = [f"{order},{key},2025-06-01" for order in range(2) for key in prices]
    orders += [f"alone-{key},{key},2025-06-01" for key in prices]
    (folder / "orders.csv").write_text("\n".join(["order_id,product_id,time", *orders]) + "\n")
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with twinvec.open(tmp_path / "home", category={"epochs": 1, "min_count": 1}) as opened:
        yield opened


def joined(path: Path, asked: Sequence[tuple[str, datetime]], configuration: str | None = None) -> list[Any]:
    """Ask Feast's own client for a row of title, category and price for each product and time."""
    store = FeatureStore(
        repo_path=str(path), fs_yaml_file=path / configuration if configuration is not None else None
    )
    table = pd.DataFrame(
        [{"product_id": key, "event_timestamp": at, "row": row} for row, (key, at) in enumerate(asked)]
    )
    references = [f"products_history:{field}" for field in FIELDS]
    answer = store.get_historical_features(entity_df=table, features=references).to_df()
    found = answer.sort_values("row")[FIELDS].astype(object)
    return found.where(found.notna(), None).to_numpy().tolist()


def row(key: str, price: float | None) -> list[Any]:
    return [f"{key} for {price}", f"Root > {key}", price] if price is not None else [None] * 3


def test_a_join_gives_the_values_of_the_latest_snapshot_at_that_time(home: Home, tmp_path: Path) -> None:
    first, second = {"cup": 3.0, "pot": 9.0}, {"cup": 4.0, "jug": 5.0}
    # The newer data come first, and the older are put in before them.
    home.ingest(shop(tmp_path / "b", second), "orders", as_of="2026-02-01T12:00+02:00")
    home.ingest(shop(tmp_path / "a", first), "orders", as_of=date(2026, 1, 1))
    home.ingest(tmp_path / "a", "orders", as_of=datetime(2026, 3, 1, tzinfo=UTC))  # all as it was before
    by_hand = {
        ("cup", datetime(2025, 12, 31, 23, 59, tzinfo=UTC)): None,  # before any
        ("cup", datetime(2026, 1, 1, tzinfo=UTC)): 3.0,
        ("cup", datetime(2026, 2, 1, 9, 59, 59, tzinfo=UTC)): 3.0,
        ("pot", datetime(2026, 2, 1, 9, 59, 59, tzinfo=UTC)): 9.0,
        ("cup", datetime(2026, 2, 1, 10, 0, tzinfo=UTC)): 4.0,
        ("pot", datetime(2026, 2, 2, tzinfo=UTC)): None,  # no longer sold
        ("jug", datetime(2026, 1, 31, tzinfo=UTC)): None,  # not yet sold
        ("jug", datetime(2026, 2, 28, tzinfo=UTC)): 5.0,
        ("cup", datetime(2026, 3, 1, tzinfo=UTC)): 3.0,
        ("pot", datetime(2026, 4, 1, tzinfo=UTC)): 9.0,
        ("jug", datetime(2026, 4, 1, tzinfo=UTC)): None,
        ("mug", datetime(2026, 4, 1, tzinfo=UTC)): None,  # never sold
    }
    expected = [row(key, price) for (key, _at), price in by_hand.items()]
    path = home.settings.home
    assert joined(path, list(by_hand)) == expected
    assert joined(path, list(by_hand), "feature_store.asof.yaml") == expected
    assert "products_history" in {each.name for each in home_objects(path)}, "`feast apply` registers it, too"

    # A snapshot that was pruned stays in the history, also where another comes in before it.
    snapshots = {each.tables["products"]: each for each in [home.workspace.snapshot()]}
    shutil.rmtree(snapshots[2].path)
    home.ingest(shop(tmp_path / "c", {"lid": 1.0}), "orders", as_of="2026-02-15")
    asked = [("jug", JANUARY + 40 * DAY), ("jug", JANUARY + 46 * DAY), ("lid", JANUARY + 46 * DAY)]
    asked += [("lid", JANUARY + 70 * DAY), ("pot", JANUARY + 70 * DAY)]
    found = joined(path, asked)
    assert found == [row("jug", 5.0), row("jug", None), row("lid", 1.0), row("lid", None), row("pot", 9.0)]

    # A copy reads its own files.
    copy = Path(shutil.copytree(path, tmp_path / "copy"))
    with twinvec.open(copy) as other:
        assert other.workspace.features.get_feature_view("products_history")
    shutil.rmtree(path / "versions")
    assert joined(copy, asked) == found


def test_any_history_in_any_order_of_ingests(home: Home, tmp_path: Path) -> None:
    drawn = random.Random(seed := random.randrange(2**32))
    catalogues = [
        {key: float(drawn.randint(1, 9)) for key in drawn.sample("abcdef", drawn.randint(1, 5))}
        for _ in range(3)
    ]
    sources = [shop(tmp_path / str(place), prices) for place, prices in enumerate(catalogues)]
    times = {JANUARY + day * DAY: drawn.randrange(3) for day in drawn.sample(range(60), 6)}
    for at in drawn.sample(list(times), len(times)):
        home.ingest(sources[times[at]], "orders", as_of=at)
    asked = [(drawn.choice("abcdef"), JANUARY + drawn.randint(-2, 65) * DAY) for _ in range(60)]
    asked += [(key, at) for key in "af" for at in times]

    def then(key: str, at: datetime) -> float | None:
        past = [moment for moment in times if moment <= at]
        return catalogues[times[max(past)]].get(key) if past else None

    assert joined(home.settings.home, asked) == [row(key, then(key, at)) for key, at in asked], f"seed {seed}"
    assert home.workspace.snapshot().path.name == latest_of(home, max(times))


def latest_of(home: Home, at: datetime) -> str:
    with transaction(home.workspace.engine) as session:
        return next(each.snapshot_id for each in snapshot_times(session) if each.as_of == at)


def test_features_have_the_time_of_their_snapshot_and_keep_it(home: Home, tmp_path: Path) -> None:
    source = shop(tmp_path / "a", {"cup": 3.0, "pot": 9.0})
    report = home.ingest(source, "orders", as_of="2026-01-31")
    assert report.as_of == datetime(2026, 1, 31, tzinfo=UTC)
    version = home.train("category")[0].version
    assert version is not None
    scalars = home.settings.paths.product_scalars(report.snapshot.id)
    for folder in (Path(version.path) / "vectors", scalars):
        assert set(pq.read_table(folder)["event_timestamp"].to_pylist()) == {report.as_of}
    with pytest.raises(RegistryError, match=r"category@v1 were made .* with that time"):
        home.ingest(source, "orders", as_of="2026-01-30")
    assert home.ingest(source, "orders", as_of="2026-02-02").as_of == datetime(2026, 2, 2, tzinfo=UTC)
    assert home.ingest(source, "orders").as_of == datetime(2026, 2, 2, tzinfo=UTC), "nothing has changed"

    assert list(check_views(home.workspace, False)) == []
    home.workspace.features.delete_feature_view("products_history")
    (finding,) = check_views(home.workspace, False)
    assert (finding.where, finding.what) == ("view products_history", "is not there")
    assert finding.fix is not None
    finding.fix()
    assert joined(home.settings.home, [("cup", JANUARY + 40 * DAY)]) == [row("cup", 3.0)]


def test_a_stated_time_replaces_that_of_the_ingest(home: Home, tmp_path: Path) -> None:
    source, other = shop(tmp_path / "a", {"cup": 3.0}), shop(tmp_path / "b", {"cup": 4.0})
    before = datetime.now(UTC)
    report = home.ingest(source, "orders")
    assert report.as_of is not None
    assert before < report.as_of < datetime.now(UTC)
    later = home.ingest(other, "orders", as_of="2026-02-01")
    assert later.warnings[-1].startswith(f"snapshot {report.snapshot.id} is of 20")
    home.ingest(source, "orders", as_of="2026-01-01")
    assert home.workspace.snapshot().id == later.snapshot.id
    with transaction(home.workspace.engine) as session:
        times = [(each.as_of.month, each.stated) for each in snapshot_times(session)]
    assert times == [(1, True), (2, True)]
    with pytest.raises(RegistryError, match=f"snapshot {later.snapshot.id} is of 2026-02-01"):
        home.ingest(shop(tmp_path / "c", {"cup": 5.0}), "orders", as_of="2026-02-01")
    assert len(list(home.settings.paths.snapshots.glob("[0-9a-f]*"))) == 2, "nothing of it is left"
    assert home.ingest(other, "orders").as_of == datetime(2026, 2, 1, tzinfo=UTC)
    home.ingest(source, "orders")  # the catalogue went back to what it was
    assert home.workspace.snapshot().id == report.snapshot.id


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        (" 2026-01-31T18:30 ", datetime(2026, 1, 31, 18, 30, tzinfo=UTC)),
        ("2026-01-31 18:30:01.5Z", datetime(2026, 1, 31, 18, 30, 1, 500_000, tzinfo=UTC)),
        ("2026-01-31T00:30+05:30", datetime(2026, 1, 30, 19, tzinfo=UTC)),
        (date(2026, 1, 31), datetime(2026, 1, 31, tzinfo=UTC)),
        (datetime(2026, 1, 31, 6), datetime(2026, 1, 31, 6, tzinfo=UTC)),
        (
            datetime(2026, 1, 31, tzinfo=timezone(-9 * timedelta(hours=1))),
            datetime(2026, 1, 31, 9, tzinfo=UTC),
        ),
    ],
)
def test_times_are_utc_unless_they_name_a_zone(stated: Any, expected: datetime) -> None:
    assert read_time(stated) == expected


@pytest.mark.parametrize(
    "stated", ["yesterday", "31/01/2026", "2026-13-01", "0001-01-01T00:00+14:00", "1026-01-31"]
)
def test_what_is_no_time_is_refused(stated: str) -> None:
    with pytest.raises(CatalogueError, match="2026-01-31T18:30"):
        read_time(stated)


def test_the_command_states_a_time(tmp_path: Path) -> None:
    source = shop(tmp_path / "a", {"cup": 3.0})
    environment = {"TWINVEC_HOME": str(tmp_path / "home")}

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, list(arguments), env=environment)

    ahead = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    refused = run("ingest", str(source), "--format", "orders", "--as-of", ahead)
    assert refused.exit_code == 1
    assert "in the future" in refused.stderr
    assert not list((tmp_path / "home").glob("snapshots/*"))

    done = run("ingest", str(source), "--format", "orders", "--as-of", "2025-05-01", "--json")
    assert json.loads(done.stdout)["as_of"] == "2025-05-01T00:00:00+00:00"
    assert "3 orders are later than 2025-05-01" in done.stderr
    listed = json.loads(run("status", "--json").stdout)["snapshots"]
    assert [each["as_of"] for each in listed] == [["2025-05-01T00:00:00+00:00"]]
    assert "2025-05-01 00:00" in run("status").stdout


def test_a_snapshot_is_kept_where_feast_does_not_answer(tmp_path: Path) -> None:
    source = shop(tmp_path / "a", {"cup": 3.0})
    with twinvec.open(tmp_path / "home", feast={"config": tmp_path / "none.yaml"}) as home:
        report = home.ingest(source, "orders", as_of="2026-01-01")
        assert "Feast's history of products is not up to date" in report.warnings[-1]
        assert home.workspace.snapshot().id == report.snapshot.id
    with twinvec.open(tmp_path / "home") as home:
        assert mend(home.settings).left == []
        home.ingest(source, "orders")
        assert joined(home.settings.home, [("cup", JANUARY)]) == [row("cup", 3.0)]

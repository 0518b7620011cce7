"""A home that version 0.1.0 made, before spaces were declared and sellers were released as products are.

`home-0.1.0.tar.xz` holds a synthetic store of 200 products with sellers (seed 3), made without texts and images: two
related versions, released, the second live after the first; two versions of sellers, the first published.
"""

from __future__ import annotations

import json
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipelines.command import app
from pipelines.update.pipeline import update
from twinvec import dag, releases
from twinvec.catalogue.ingest import ingest
from twinvec.doctor import diagnose
from twinvec.errors import StateError
from twinvec.place import ensure_place
from twinvec.serving.related import Recommender
from twinvec.serving.sellers import recommend
from twinvec.settings import Settings
from twinvec.workspace import Workspace

ARCHIVE = Path(__file__).with_name("home-0.1.0.tar.xz")
SELLERS = "seller_recommendations"
OPTIONS: dict[str, Any] = {
    "text": {"scheme": "none"},
    "image": {"scheme": "none"},
    "category": {"epochs": 20},
    "related": {"dimension": 16, "twinvec": {"epochs": 2}},
    "ranking": {"trees": 30},
    "sellers": {"dimension": 16, "epochs": 1, "blocks": 1},
    "seed": 1,
}


@pytest.fixture
def old_home(tmp_path: Path) -> Iterator[Workspace]:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    home = tmp_path / "home"
    with closing(sqlite3.connect(home / "registry.db")) as registry:
        before = registry.execute("SELECT name FROM aliases").fetchall()
    assert before == [("related_products",)], "the alias of the sellers was never written down"
    workspace = Workspace(Settings(home=home, **OPTIONS))
    assert ensure_place(workspace.settings) > 0, "it was made in another folder"
    yield workspace
    workspace.close()


def test_a_home_of_the_version_before_opens_and_goes_on(
    old_home: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Neither the declarations nor the new fingerprints make anything anew, but related has another default recipe now.
    standing = {each.space: each for each in dag.standing(old_home, old_home.snapshot())}
    made = ("category", "graph", "related", "seller_products", "sellers")
    versions = [standing[name].version for name in made]
    assert [version.number if version else None for version in versions] == [2] * len(made)
    assert [name for name in made if standing[name].stale] == ["related"]
    assert diagnose(old_home.settings) == []

    keys = pq.read_table(old_home.snapshot().table("products"))["product_id"].to_pylist()
    answer = Recommender(old_home.index, "related_products", 128).related(keys[0])
    assert (answer.release, len(answer.hits)) == ("related_products__v2", 10)
    assert releases.rollback(old_home).label == "related_products@v1"
    assert releases.promote(old_home, releases.find(old_home, "2"), force=True).state == "live"

    live = releases.live(old_home, SELLERS)
    assert live is not None
    assert live.version.name == "sellers@v1"
    second = releases.publish(old_home, old_home.version("sellers@v2"))
    assert releases.promote(old_home, second).label == f"{SELLERS}@v2"
    assert releases.rollback(old_home, name=SELLERS).label == f"{SELLERS}@v1"
    assert releases.promote(old_home, second).label == f"{SELLERS}@v2"
    seller = pq.read_table(old_home.snapshot().table("offers"))["seller_id"][0].as_py()
    assert recommend(old_home, seller, 3).release == f"{SELLERS}__v2"

    later = tmp_path / "later"
    later.mkdir()
    for table in old_home.snapshot().tables:
        rows = pq.read_table(old_home.snapshot().table(table))
        pq.write_table(
            rows.slice(0, len(rows) - 5) if table == "coview" else rows, later / f"{table}.parquet"
        )
    directed = old_home.snapshot().directed
    (later / "catalogue.json").write_text(json.dumps({"copurchase_directed": directed}))
    snapshot = ingest(later, "parquet", old_home.settings, old_home.engine).snapshot
    report = update(old_home, snapshot, name=SELLERS)
    updated = releases.live(old_home, SELLERS)
    assert updated is not None
    assert report.replaced is not None
    assert (report.release, updated.version.snapshot_id) == (updated.label, snapshot.id)
    # The settings that made the live related are gone with its recipe, so only a new training can go on.
    with pytest.raises(StateError, match="settings `related` are others") as refused:
        update(old_home, snapshot)
    assert "`twinvec run` trains" in refused.value.hint
    steps = {step.space: step.version for step in dag.run(old_home, snapshot, {"ranking"})}
    assert steps["related"] is not None
    trained = releases.publish(old_home, steps["related"])
    assert releases.promote(old_home, trained, force=True).label == "related_products@v3"
    assert Recommender(old_home.index, "related_products", 128).related(keys[0]).release == trained.collection
    assert recommend(old_home, seller, 3).release == f"{SELLERS}__v3"
    assert diagnose(old_home.settings) == []

    monkeypatch.setenv("TWINVEC_HOME", str(old_home.settings.home))
    status = CliRunner().invoke(app, ["status", "--json"])
    assert status.exit_code == 0, status.output
    told = json.loads(status.stdout)
    assert {row["release"] for row in told["releases"] if row["state"] == "live"} == {
        "related_products@v3",
        f"{SELLERS}@v3",
    }

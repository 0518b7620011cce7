"""Vectors made elsewhere become versions that go the whole road, and versions become Parquet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import twinvec
from pipelines.cold_start.encoders import find_encoders
from pipelines.cold_start.service import ColdStart
from pipelines.command import app
from pipelines.update.live import find_live
from twinvec import dag, releases
from twinvec.catalogue.synthetic.store import generate
from twinvec.errors import CatalogueError, StateError
from twinvec.serving.related import NewProduct
from twinvec.serving.sellers import recommend
from twinvec.tracking.runs import run_parameters

pytestmark = pytest.mark.slow


def own(home: twinvec.Home, dimension: int = 8, seed: int = 0) -> dict[str, Any]:
    keys = home.vectors("text@v1").keys
    vectors = np.random.default_rng(seed).normal(size=(len(keys), dimension)).astype(np.float32)
    return {"product_id": keys, "clip": vectors}


def test_an_imported_text_takes_the_place_of_our_own_in_a_run(home: twinvec.Home, tmp_path: Path) -> None:
    table = own(home)
    pq.write_table(
        pa.table({"product_id": table["product_id"], "clip": list(table["clip"])}), tmp_path / "own.parquet"
    )
    version = home.import_vectors("text", tmp_path / "own.parquet", note="our own CLIP")
    assert (version.name, version.rows, version.dimension) == ("text@v2", 200, 8)
    assert np.array_equal(home.vectors("text@v2").to_numpy()["text_vector"], table["clip"])
    parameters = run_parameters(home.settings, version.run_id)
    assert parameters["imported.note"] == "our own CLIP"
    assert len(parameters["imported.file_sha256"]) == 64

    standing = {each.space: each for each in dag.standing(home.workspace, home.workspace.snapshot())}
    assert (standing["text"].reason, standing["text"].stale) == ("imported", False)
    assert standing["aligned"].stale
    steps = {step.space: step for step in home.run().steps}
    assert (steps["text"].reason, steps["text"].version.name) == ("imported", "text@v2")  # type: ignore[union-attr]
    aligned = steps["aligned"].version
    assert aligned is not None
    assert "text@v2" in aligned.manifest["inputs"]
    assert steps["related"].made
    assert all(not step.made for step in home.run().steps)
    # One's own training, asked for, is the newest then.
    (forced,) = [step for step in home.train("text", force=True) if step.made]
    assert forced.version is not None
    assert forced.version.name == "text@v3"
    assert {step.space: step.reason for step in home.train("text")}["text"] == "up to date"


def test_an_imported_related_is_published_and_promoted(home: twinvec.Home) -> None:
    keys = home.vectors("related").keys
    random = np.random.default_rng(0)
    fields = {
        name: random.normal(size=(200, 4)).astype(np.float32) for name in ("source_vector", "target_vector")
    }
    version = home.import_vectors("related", {"product_id": keys, **fields})
    home.publish(version.name)
    assert home.promote(force=True).version.name == "related@v2"
    assert home.related(keys[0].as_py(), k=3).release == "related_products__v2"
    quality = releases.live(home.workspace).verification["gates"]["remark"]  # type: ignore[union-attr]
    assert "related@v2 was imported, and it is not known which edges it was trained on" in quality
    # Nothing can embed a new product, and both that ask for it say so.
    with pytest.raises(StateError, match="related@v2 was imported without aligned vectors"):
        find_encoders(home.workspace, "related_products__v2")
    with pytest.raises(StateError, match="cannot be updated: related@v2 was imported"):
        find_live(home.workspace, "related_products")

    # With the aligned vectors it belongs to, a new product gets the mean of its neighbours' vectors …
    home.import_vectors("related", {"product_id": keys, **fields}, inputs=["graph", "aligned"])
    home.publish()
    home.promote(force=True)
    assert len(ColdStart(home.workspace).related(NewProduct("Blue case", None, None), 3).hits) == 3
    # … unless the text vectors below were imported as well.
    home.import_vectors("text", own(home))
    live = home.run().live or home.promote(force=True)
    with pytest.raises(StateError, match="text@v2 was imported, so there is no encoder"):
        find_encoders(home.workspace, live.collection)
    assert home.rollback().version.name == "related@v3"


def test_imported_sellers_and_their_products_are_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(tmp_path / "store", 200, images=False, sellers=True)
    random = np.random.default_rng(0)
    with twinvec.open(tmp_path / "home", device="cpu") as home:
        snapshot = home.ingest(tmp_path / "store").snapshot
        products = pq.read_table(snapshot.table("products"))["product_id"].to_pylist()
        sellers = sorted(set(pq.read_table(snapshot.table("offers"))["seller_id"].to_pylist()))

        def vectors(keys: list[str], dimension: int) -> Any:
            return random.normal(size=(len(keys), dimension)).astype(np.float32)

        table = {"seller_id": sellers, "v": vectors(sellers, 8)}
        with pytest.raises(StateError, match="twinvec import sellers FILE --from seller_products"):
            home.import_vectors("sellers", table)
        home.import_vectors(
            "seller_products", {"product_id": products[:150], "v": vectors(products[:150], 8)}
        )
        with pytest.raises(CatalogueError, match=r"have 5 numbers, and those of seller_products@v1, .* 8"):
            home.import_vectors("sellers", {**table, "v": vectors(sellers, 5)}, inputs=["seller_products"])
        version = home.import_vectors("sellers", table, inputs=["seller_products"])
        home.publish(version.name)
        assert home.promote(name="seller_recommendations").state == "live"
        recommended = recommend(home.workspace, sellers[0], 3)
        assert (recommended.release, len(recommended.hits)) == ("seller_recommendations__v1", 3)
        with pytest.raises(StateError, match="seller_products@v1, sellers@v1 was imported"):
            find_live(home.workspace, "seller_recommendations")
    monkeypatch.setenv("TWINVEC_HOME", str(tmp_path / "home"))
    result = CliRunner().invoke(app, ["sellers", "reduction"])
    assert (result.exit_code, "seller_products@v1 has no graph reduction" in result.output) == (1, True)


def test_text_is_imported_where_none_is_trained(home: twinvec.Home) -> None:
    schemes: dict[str, Any] = {"text": {"scheme": "none"}, "image": {"scheme": "none"}}
    with twinvec.open(home.settings.home, **schemes) as bare:
        bare.import_vectors("text", own(home))
        standing = {each.space: each for each in dag.standing(bare.workspace, bare.workspace.snapshot())}
        assert (standing["aligned"].reason, standing["related"].stale) == (
            "graph would be made again",
            True,
        )


def test_tables_that_do_not_fit_are_refused(home: twinvec.Home) -> None:
    table = own(home)
    keys, vectors = table["product_id"].to_pylist(), table["clip"]
    strange = {"product_id": [*keys[:3], "x", "y", "z"], "clip": vectors[:6]}
    with pytest.raises(CatalogueError, match="does not have 3 of 6 keys of product, such as 'x', 'y'"):
        home.import_vectors("text", strange)
    ragged = {"product_id": keys[:2], "clip": [[1.0, 2.0], [1.0]]}
    with pytest.raises(CatalogueError, match=f"of 2 and of 1 numbers, the latter of '{keys[1]}'"):
        home.import_vectors("text", ragged)
    endless = {"product_id": keys[:2], "clip": np.array([[1, 2], [1, np.nan]], np.float32)}
    with pytest.raises(CatalogueError, match=f"not finite in 1 rows, such as '{keys[1]}'"):
        home.import_vectors("text", endless)
    with pytest.raises(CatalogueError, match="1 keys are repeated"):
        home.import_vectors("text", {"product_id": [keys[0]] * 2, "clip": vectors[:2]})
    with pytest.raises(CatalogueError, match="no column of lists 'text_vector'; it has product_id"):
        home.import_vectors("text", {"product_id": keys})
    with pytest.raises(StateError, match="graph have no vectors"):
        home.import_vectors("graph", table)
    assert [version.name for version in home.versions("text")] == ["text@v1"]


def test_an_export_imported_again_is_the_same(
    home: twinvec.Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWINVEC_HOME", str(home.settings.home))
    file = tmp_path / "text.parquet"
    result = CliRunner().invoke(app, ["export", "text@v1", str(file)])
    assert result.exit_code == 0, result.output
    assert pq.read_schema(file).names == ["product_id", "text_vector"]
    assert json.loads(pq.read_schema(file).metadata[b"twinvec.manifest"])["space"] == "text"
    result = CliRunner().invoke(app, ["import", "text", str(file), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["version"] == "text@v2"
    first, second = (home.vectors(name) for name in ("text@v1", "text@v2"))
    assert first.keys == second.keys
    assert np.array_equal(first.fields["text_vector"], second.fields["text_vector"])

"""A space of another package goes the whole road: trained, released, promoted, rolled back, updated, pruned."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore
from typer.testing import CliRunner

from pipelines.command import app
from pipelines.update.pipeline import update
from tests.outside import write_package
from twinvec import dag, releases
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.synthetic import generate
from twinvec.doctor import diagnose
from twinvec.errors import StateError
from twinvec.features import definitions
from twinvec.features.reading import read_vectors
from twinvec.releases.retention import prune
from twinvec.settings import RetentionSettings, load_settings
from twinvec.spaces import registered
from twinvec.workspace import Workspace

NAME = "toy_products"
DECLARATION = """
from twinvec.spaces import Carry, Field, Serving, Space

VECTOR = Field("toy", "toy_vector")
SPACE = Space(
    name="toy",
    train="toyspace.pipeline:train",
    fields=("toy_vector",),
    settings=("toy",),
    update=Carry("carry", "toyspace.pipeline:carry"),
    serving=Serving(
        name="toy_products", asks=VECTOR, searched=VECTOR, aliases=("toy_live", "toy_previous")
    ),
)
"""
SETTINGS = """
from pydantic import Field
from twinvec.settings.group import Group


class ToySettings(Group):
    dimension: int = Field(8, ge=2, description="Length of a vector.")
"""
PIPELINE = '''
import hashlib

import numpy as np
import torch

from twinvec.stage import Outcome
from twinvec.tracking import load_model, model_digest


def words(snapshot, dimension):
    """Letters of each title, counted in as many buckets as a vector has coordinates."""
    with snapshot.connect() as connection:
        rows = connection.execute(
            "SELECT product_id, coalesce(map_values(title)[1], '') FROM products ORDER BY ALL"
        ).fetchall()
    counts = np.ones((len(rows), dimension), np.float32)
    for row, (_, title) in enumerate(rows):
        for word in title.split():
            counts[row, hashlib.md5(word.encode()).digest()[0] % dimension] += 1
    return [key for key, _ in rows], torch.from_numpy(counts)


def outcome(model, snapshot, dimension, log_model):
    keys, counts = words(snapshot, dimension)
    with torch.no_grad():
        vectors = torch.nn.functional.normalize(model(counts)).numpy()
    return Outcome(
        keys, {"toy_vector": vectors}, "cosine", True, model_digest(model), "letters",
        metrics={"products": float(len(keys))}, log_model=log_model,
    )


def train(inputs, run, progress):
    dimension = inputs.settings.toy.dimension
    torch.manual_seed(inputs.settings.seed)
    model = torch.nn.Linear(dimension, dimension)
    example = {"counts": torch.ones(2, dimension)}
    return outcome(model, inputs.snapshot, dimension, lambda: run.log_model(model, example))


def carry(workspace, live, full):
    old = live.versions["toy"]
    model = load_model(workspace.settings, old, "train it again")

    def embed(inputs, run, progress):
        return outcome(model, inputs.snapshot, old.dimension, lambda: old.model_uri)

    return embed
'''


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A home with a snapshot, where the package `toyspace` is installed."""
    write_package(
        tmp_path / "site",
        "toyspace",
        {"space": DECLARATION, "settings": SETTINGS, "pipeline": PIPELINE},
        {
            "twinvec.spaces": {"toy": "toyspace.space:SPACE"},
            "twinvec.settings": {"toy": "toyspace.settings:ToySettings"},
        },
    )
    monkeypatch.syspath_prepend(tmp_path / "site")
    registered.spaces.cache_clear()
    definitions.entities.cache_clear()
    generate(tmp_path / "store", 300, seed=1, images=False)
    monkeypatch.setenv("TWINVEC_HOME", str(tmp_path / "home"))
    workspace = Workspace(load_settings())
    ingest(tmp_path / "store", "parquet", workspace.settings, workspace.engine)
    yield workspace
    workspace.close()
    registered.spaces.cache_clear()
    definitions.entities.cache_clear()


def test_a_space_from_outside_goes_the_whole_road(
    toy: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (step,) = dag.run(toy, toy.snapshot(), {"toy"})
    assert step.version is not None
    assert "toy" in {each.space for each in dag.standing(toy, toy.snapshot()) if not each.stale}
    first = releases.promote(toy, releases.publish(toy, step.version))
    assert (first.label, first.state, toy.index.aliases()) == (f"{NAME}@v1", "live", {NAME: f"{NAME}__v1"})

    monkeypatch.setenv("TWINVEC_SEED", "7")
    other = Workspace(load_settings())
    second = dag.run(other, other.snapshot(), {"toy"})[0].version
    assert second is not None
    promoted = releases.promote(other, releases.publish(other, second))
    assert promoted.verification["gates"]["remark"] == f"quality was not compared: {NAME} declares no judge"
    other.close()
    assert releases.rollback(toy, name=NAME).label == f"{NAME}@v1"
    monkeypatch.delenv("TWINVEC_SEED")

    # A colleague reads the live vectors with plain Feast.
    store = FeatureStore(repo_path=str(toy.settings.home))
    keys = pq.read_table(toy.snapshot().table("products"))["product_id"].to_pylist()
    service = store.get_feature_service(NAME)
    online = store.get_online_features(service, [{"product_id": keys[0]}]).to_dict()
    expected = read_vectors(toy.features, step.version, keys[:1]).only()[0]
    np.testing.assert_allclose(online["toy_vector"][0], expected, atol=1e-6)

    # A later catalogue has fewer products: the live release is brought to it by its own model.
    later = tmp_path / "later"
    later.mkdir()
    products = pq.read_table(toy.snapshot().table("products"))
    pq.write_table(products.slice(20), later / "products.parquet")
    snapshot = ingest(later, "parquet", toy.settings, toy.engine).snapshot
    report = update(toy, snapshot, name=NAME)
    live = releases.live(toy, NAME)
    assert live is not None
    assert (report.release, live.version.snapshot_id) == (f"{NAME}@v3", snapshot.id)
    assert live.version.metrics == {"products": 280.0}
    moved = read_vectors(toy.features, live.version, keys[20:21]).only()
    np.testing.assert_array_equal(moved, read_vectors(toy.features, step.version, keys[20:21]).only())
    with pytest.raises(StateError, match=rf"{NAME}@v3, which is live, is of snapshot {snapshot.id} already"):
        update(toy, snapshot, name=NAME)

    pruned = prune(toy, RetentionSettings(releases=1, versions=1))
    assert [release.label for release in pruned.plan.releases] == [f"{NAME}@v2"]
    assert not pruned.left
    assert set(toy.index.collections()) == {f"{NAME}__v1", f"{NAME}__v3"}
    assert diagnose(toy.settings) == []


def test_the_command_knows_a_space_from_outside(toy: Workspace) -> None:
    def twinvec(*arguments: str) -> dict[str, object]:
        result = CliRunner().invoke(app, [*arguments, "--json"])
        assert result.exit_code == 0, result.output
        answer: dict[str, object] = json.loads(result.stdout)
        return answer

    CliRunner().invoke(app, ["train", "toy"])
    assert twinvec("publish", "--release", NAME)["release"] == f"{NAME}@v1"
    assert twinvec("promote", "--release", NAME)["state"] == "live"
    assert twinvec("status", "--release", NAME)["live"] == f"{NAME}__v1"
    refused = CliRunner().invoke(app, ["promote", "--release", "toy_product"])
    assert refused.exit_code == 1
    assert f"there is no release name 'toy_product'\n  hint: did you mean {NAME}?" in refused.stderr
    settings = twinvec("settings")
    assert settings["toy.dimension"] == {"value": 8, "description": "Length of a vector."}

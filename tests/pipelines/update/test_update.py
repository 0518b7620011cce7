"""A later snapshot by the models of the live release: as embedding all of it by them, and live as a whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from pipelines.cold_start.models import TextEncoder
from pipelines.command import app
from pipelines.ranking.loading import load_cold_ranker
from pipelines.ranking.outcome import as_columns
from pipelines.text.encoder import encode_texts
from pipelines.update.live import find_live
from pipelines.update.pipeline import embed, update
from pipelines.update.ranking import carry_ranking
from registry.models import State, Version
from twinvec import releases, tracking
from twinvec.errors import StateError
from twinvec.features.manifest import Manifest
from twinvec.features.reading import read_vectors
from twinvec.releases.lineage import trace
from twinvec.releases.lookup import all_releases
from twinvec.serving.related import Recommender, UnknownProductError
from twinvec.stage import Inputs, Outcome
from twinvec.vectors.lists import open_lists
from twinvec.workspace import Workspace

pytestmark = pytest.mark.slow
SPACES = ("text", "image", "aligned", "related")
Floats = npt.NDArray[np.float32]


def ids_of(workspace: Workspace, snapshot: str) -> list[str]:
    with workspace.snapshot(snapshot).connect() as connection:
        return [
            key for (key,) in connection.execute("SELECT product_id FROM products ORDER BY ALL").fetchall()
        ]


def read(workspace: Workspace, version: Version, keys: list[str]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """All vector columns side by side, and which keys have some."""
    found = read_vectors(workspace.features, version, keys)
    return np.concatenate(list(found.fields.values()), axis=1), found.present


def answers(workspace: Workspace, products: list[str]) -> list[list[str]]:
    recommender = Recommender(workspace.index, "related_products", 64)
    return [[hit.product.product_id or "" for hit in recommender.related(each, 5).hits] for each in products]


@pytest.fixture(scope="module", params=["after", "little"])
def made(request: pytest.FixtureRequest, plan: Any, opened: Any) -> Iterator[tuple[Any, ...]]:
    """Both ways of embedding a snapshot, what was live, and the workspace."""
    for workspace in opened():
        live = find_live(workspace, workspace.settings.release)
        snapshot = workspace.snapshot(getattr(plan, request.param))
        some, everything = (embed(workspace, live, snapshot, full, print) for full in (False, True))
        yield workspace, live, snapshot, some, everything


@pytest.mark.parametrize("space", SPACES)
def test_it_equals_embedding_everything(made: tuple[Any, ...], space: str) -> None:
    workspace, _, snapshot, some, everything = made
    keys = ids_of(workspace, snapshot.id)
    part, present = read(workspace, some[space], keys)
    whole, also = read(workspace, everything[space], keys)
    assert present.tolist() == also.tolist()
    assert present.mean() > 0.9
    np.testing.assert_allclose(part, whole, rtol=0, atol=1e-5)
    computed = {"aligned": "computed", "related": "affected"}.get(space, "encoded")
    metrics = some[space].metrics
    assert 0 < metrics[computed] < everything[space].metrics[computed]
    assert metrics[computed] + metrics["taken_over"] == present.sum()


def test_what_did_not_change_is_what_it_was(made: tuple[Any, ...], plan: Any) -> None:
    workspace, live, snapshot, some, _ = made
    still = set(ids_of(workspace, snapshot.id))
    keys = [key for key in ids_of(workspace, plan.before) if key in still]
    changed = 6 + 6 + 6 + 4 if snapshot.id == plan.after else 0
    for space in SPACES:
        now, then = (read(workspace, version, keys)[0] for version in (some[space], live.versions[space]))
        same = (now == then).all(axis=1)
        assert 0 < same.sum() <= len(keys)
        if space in ("text", "image") or not changed:
            assert same.sum() >= len(keys) - changed
    if snapshot.id == plan.after:
        for space, changed in (("text", plan.retitled + plan.moved), ("image", plan.pictured)):
            now, then = (read(workspace, v[space], changed)[0] for v in (some, live.versions))
            assert (np.abs(now - then).max(axis=1) > 1e-3).all()
    else:  # a product without edges reaches nobody
        assert some["related"].metrics["affected"] == 1


def test_lists_that_are_taken_over_equal_all_anew(made: tuple[Any, ...], plan: Any) -> None:
    workspace, live, snapshot, some, _ = made
    inputs = Inputs(
        workspace, snapshot, {name: some[name] for name in ("graph", "text", "aligned", "related")}
    )
    run: Any = None
    anew = carry_ranking(workspace, live, True)(inputs, run, lambda _message: None)
    assert isinstance(anew, Outcome)
    lists = open_lists(Path(some["ranking"].path))
    assert as_columns(lists) == anew.columns
    metrics = some["ranking"].metrics
    assert metrics["affected"] + metrics["taken_over"] == len(ids_of(workspace, snapshot.id))
    assert metrics["affected"] > 0
    assert metrics["taken_over"] > 0 or snapshot.id == plan.after
    assert some["ranking"].model_uri == live.versions["ranking"].model_uri
    assert Manifest.from_json(some["ranking"].manifest).frozen == live.versions["ranking"].name
    rankers = [load_cold_ranker(version) for version in (some["ranking"], live.versions["ranking"])]
    assert rankers[0] is not None
    assert rankers[1] is not None
    assert rankers[0].digest == rankers[1].digest


def test_versions_say_whose_model_made_them(made: tuple[Any, ...]) -> None:
    workspace, live, snapshot, some, _ = made
    encoder = TextEncoder.load(workspace.settings, live.versions["text"])
    for space in SPACES:
        version, old = some[space], live.versions[space]
        manifest, before = (Manifest.from_json(each.manifest) for each in (version, old))
        assert (manifest.frozen, manifest.model, version.model_uri) == (old.name, before.model, old.model_uri)
        assert (manifest.snapshot, version.snapshot_id) == (snapshot.id, snapshot.id)
        assert before.frozen is None
        lineage = trace(workspace, version.name)
        assert {old.name, *(each.name for each in version.inputs)} <= {
            node.name for node in lineage.nodes.values()
        }
        with_it = MlflowClient(workspace.settings.tracking_uri()).get_run(str(version.run_id))
        assert with_it.data.params["update.frozen"] == old.name
    with snapshot.connect() as connection:
        row = connection.execute(
            "SELECT product_id, category, title FROM products WHERE product_id = 'new-1'"
        )
        product, category, title = row.fetchall()[0]
    name = title.get("en") or next(iter(title.values()))
    text = encode_texts(encoder.model, [f"{' > '.join(category)}: {name}"], 1)
    np.testing.assert_allclose(read(workspace, some["text"], [product])[0], text, atol=1e-5)


def test_the_live_release_moves_as_one_and_back(workspace: Workspace, plan: Any) -> None:
    before = answers(workspace, plan.priced)
    planned = update(workspace, workspace.snapshot(), dry_run=True)
    assert [release.label for release in all_releases(workspace)] == ["related_products@v1"]
    report = update(workspace, workspace.snapshot(), progress=print)
    assert planned.changes == report.changes
    changes = report.changes
    assert (changes.new, changes.delisted, changes.new_category) == (8, 6, 6)
    assert (changes.changed, changes.unchanged) == (22, 220 - 6 - 22)
    assert (report.release, report.replaced) == ("related_products@v2", "related_products@v1")
    assert report.encoded_texts == len(plan.new + plan.retitled + plan.moved)
    assert report.staleness.untrained == pytest.approx(8 / 222)
    assert report.staleness.held_out_edges
    assert report.advice
    live = releases.live(workspace)
    assert live is not None
    assert (live.label, live.version.name, live.version.snapshot_id) == (
        report.release,
        report.version,
        plan.after,
    )
    assert live.verification["update"]["changes"]["new"] == 8
    assert live.verification["recall_at_10"] >= 0.95
    client = MlflowClient(workspace.settings.tracking_uri())
    assert client.get_run(str(live.version.run_id)).data.metrics[
        "update/staleness.untrained"
    ] == pytest.approx(8 / 222)
    assert "update.json" in {each.path for each in client.list_artifacts(str(live.version.run_id))}
    # Qdrant: the delisted are gone, the new are there, nobody answers twice.
    assert workspace.index.count("related_products") == 222
    with pytest.raises(UnknownProductError):
        Recommender(workspace.index, "related_products", 64).related(plan.delisted[0])
    found = answers(workspace, ids_of(workspace, plan.after))
    assert all(len(some) == len(set(some)) == 5 for some in found)
    assert not {each for some in found for each in some} & set(plan.delisted)
    payload = workspace.index.find("related_products", plan.priced[0])
    assert payload is not None
    assert (payload["price"], payload["release"]) == (1.25, "related_products__v2")
    # Online: through the service that follows what is live.
    service = workspace.features.get_feature_service("related_products")
    rows = workspace.features.get_online_features(
        service, [{"product_id": key} for key in (plan.new[0], plan.delisted[0])]
    ).to_dict()
    assert rows["source_vector"][0] is not None
    assert rows["source_vector"][1] is None
    assert {each.name.partition("__")[2] for each in service.feature_view_projections} == {"v2", plan.after}
    for space in SPACES:  # the same model serves on
        uri = tracking.alias_uri(workspace.settings, space, tracking.LIVE)
        assert (
            uri
            == find_live(workspace, workspace.settings.release).versions[space].model_uri
            == workspace.version(f"{space}@v1").model_uri
        )
    with pytest.raises(StateError, match="already"):
        update(workspace, workspace.snapshot())
    assert releases.rollback(workspace).label == "related_products@v1"
    assert answers(workspace, plan.priced) == before


def test_an_update_of_an_update_is_as_one(workspace: Workspace, plan: Any) -> None:
    live = find_live(workspace, workspace.settings.release)
    last = workspace.snapshot(plan.little)
    update(workspace, workspace.snapshot(plan.after))
    again = find_live(workspace, workspace.settings.release)
    assert again.trained.name == "related@v1"
    twice = embed(workspace, again, last, False, print)
    once = embed(workspace, live, last, True, print)
    keys = ids_of(workspace, last.id)
    for space in SPACES:
        step, whole = (read(workspace, versions[space], keys)[0] for versions in (twice, once))
        np.testing.assert_allclose(step, whole, rtol=0, atol=1e-5)
    assert twice["related"].metrics["taken_over"] != once["related"].metrics["taken_over"]


def test_refused_where_it_cannot_be(workspace: Workspace, plan: Any) -> None:
    other = workspace.settings.related.model_copy(update={"layers": 1})
    changed = Workspace(workspace.settings.model_copy(update={"related": other}))
    with pytest.raises(StateError, match=r"those of related@v1, .* live: related\.layers was 2, is 1"):
        update(changed, changed.snapshot())
    nothing = Workspace(workspace.settings.model_copy(update={"release": "other"}))
    with pytest.raises(StateError, match="no release of other is live"):
        update(nothing, nothing.snapshot())
    with pytest.raises(StateError, match=f"of snapshot {plan.before} already"):
        update(workspace, workspace.snapshot(plan.before))
    assert {each.state for each in all_releases(workspace)} == {State.LIVE}


def test_command(workspace: Workspace, plan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINVEC_HOME", str(workspace.settings.home))
    for group, name, value in (
        ("CATEGORY", "EPOCHS", 50),
        ("RELATED", "DIMENSION", 16),
        ("RELATED", "TWINVEC__EPOCHS", 3),
        ("RANKING", "TREES", 30),
    ):
        monkeypatch.setenv(f"TWINVEC_{group}__{name}", str(value))
    result = CliRunner().invoke(app, ["update", "--dry-run", "--json", "--snapshot", plan.after])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["release"], found["replaced"]) == ("related_products@v1", None)
    assert found["changes"]["delisted"] == 6

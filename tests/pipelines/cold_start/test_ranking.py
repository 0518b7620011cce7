"""Ranking of new products on the fly, from a real release with a ranker for them, and without one."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from pipelines.cold_start.encoders import find_encoders
from pipelines.cold_start.ranking import UNKNOWN
from pipelines.cold_start.service import ColdStart
from pipelines.graph.product_graph import load_graph
from pipelines.ranking.catalogue import Catalogue
from pipelines.ranking.cold import (
    CANDIDATES,
    NEAREST,
    NEIGHBOURS,
    Newcomer,
    compute_cold,
    nearest_rows,
    weigh,
)
from pipelines.ranking.content import NONE, read_content
from pipelines.ranking.loading import load_cold_ranker
from pipelines.ranking.outcome import COLD_RANKER
from twinvec.catalogue.snapshot import open_snapshot
from twinvec.errors import StoreError
from twinvec.serving.answering import Answerer, Question
from twinvec.serving.opening import open_recommender
from twinvec.serving.related import NewProduct
from twinvec.serving.rules import Rules
from twinvec.stage import Inputs
from twinvec.vectors import Filters
from twinvec.workspace import Workspace

pytestmark = pytest.mark.slow
PLAIN, RANKED = "related_products__v1", "related_products__v2"
TITLE = "Steel kettle"


def found(answer: Any) -> list[str]:
    return [hit.product.product_id for hit in answer.hits]


def test_what_the_vectors_find_is_ranked(shop: Any, workspace: Workspace) -> None:
    """The order is that of the ranker over features of the feature store's vectors and the whole graph."""
    path = tuple(shop.products["category"][17])
    product = NewProduct(TITLE, " > ".join(path))
    answer = ColdStart(workspace).related(product, 12, collection=RANKED)
    versions = shop.versions[1]
    inputs = Inputs(workspace, open_snapshot(Path(versions["related"].snapshot.path)), versions)
    graph = load_graph(Path(versions["graph"].path))
    content, _ = read_content(inputs, graph.product_ids)
    known = Catalogue(graph, content, workspace.settings.ranking).known(graph.copurchase, None)
    source, target = inputs.vectors("related", graph.product_ids.to_pylist()).fields.values()
    vector = find_encoders(workspace, RANKED).models.encode(product, path)
    assert content.text is not None
    cosines = content.text.astype(np.float16).astype(np.float32) @ vector
    near = nearest_rows(cosines, NEAREST)
    dots = target @ (weigh(cosines[near[:NEIGHBOURS]]) @ source[near[:NEIGHBOURS]])
    candidates = np.argsort(-dots)[:CANDIDATES]
    row = shop.products["product_id"][17]
    same = graph.product_ids.to_pylist().index(row)
    newcomer = Newcomer(
        cosines, near, content.levels[same], int(content.path[same]), int(content.category[same])
    )
    ranker = load_cold_ranker(versions["ranking"])
    assert ranker is not None
    scores = ranker.score(ranker.columns(compute_cold(known, newcomer, candidates)))
    ids = np.array(graph.product_ids.to_pylist())
    assert [hit.score for hit in answer.hits] == pytest.approx(np.sort(scores)[::-1][:12].tolist(), abs=0.05)
    assert len(set(found(answer)) & set(ids[candidates[np.argsort(-scores)[:12]]])) >= 11
    assert answer.ranked == 12
    assert all(hit.listed for hit in answer.hits)


def test_filters_and_rules_hold(shop: Any, workspace: Workspace) -> None:
    cold_start = ColdStart(workspace)
    product = NewProduct(TITLE)
    many = cold_start.related(product, 40, collection=RANKED)
    assert found(cold_start.related(product, 5, collection=RANKED)) == found(many)[:5]
    assert [hit.score for hit in many.hits] == sorted((hit.score for hit in many.hits), reverse=True)
    department = shop.products["category"][3][0]
    inside = cold_start.related(product, 9, Filters(category=(department,)), RANKED)
    assert inside.ranked == len(inside.hits) > 0
    assert all(department in hit.product.category for hit in inside.hits)
    nothing = cold_start.related(product, 9, Filters(min_price=1e9), RANKED)
    assert (nothing.hits, nothing.ranked) == ((), 0)
    answerer = Answerer(open_recommender(workspace), cold_start=cold_start)
    rules = Rules(exclude=(found(many)[0],))
    ruled = answerer.related_to_new(product, Question(5, rules=rules, named=("exclude",), release="v2"))
    assert found(ruled) == found(many)[1:6]
    assert ruled.ranked == 5
    beyond = cold_start.related(product, CANDIDATES + 20, collection=RANKED)
    assert len(beyond.hits) == beyond.ranked == CANDIDATES + 20


def test_a_new_category_and_an_unknown_one_are_ranked(shop: Any, workspace: Workspace) -> None:
    cold_start = ColdStart(workspace)
    known = " > ".join(shop.products["category"][17])
    answers = [
        cold_start.related(NewProduct(TITLE, category), 10, collection=RANKED)
        for category in (known, f"{known} > Below", "Nowhere > To be found", None)
    ]
    assert all(answer.ranked == 10 for answer in answers)


def test_paths_are_numbered_as_the_catalogues(shop: Any, workspace: Workspace) -> None:
    ranker = find_encoders(workspace, RANKED).ranker
    assert ranker is not None
    content, ids = ranker.known.content, list(ranker.rows)
    for row in (0, 17, 90):
        path = tuple(shop.products["category"][shop.products["product_id"].index(ids[row])])
        levels, number, category = ranker.describe_path(path)
        assert levels.tolist() == content.levels[row].tolist()
        assert (number, category) == (content.path[row], content.category[row])
    levels, number, category = ranker.describe_path((*path[:1], "Never seen"))
    assert levels.tolist() == [content.levels[row][0], UNKNOWN, NONE, NONE]
    assert (number, category) == (UNKNOWN, NONE)


def test_a_release_without_a_ranker_answers_by_the_vectors(shop: Any, workspace: Workspace) -> None:
    plain = ColdStart(workspace).related(NewProduct(TITLE), 10, collection=PLAIN)
    assert plain.ranked == 0
    assert not any(hit.listed for hit in plain.hits)
    file = workspace.settings.paths.versions / "ranking" / "v2" / COLD_RANKER
    assert file.is_file()
    ranked = ColdStart(workspace).related(NewProduct(TITLE), CANDIDATES, collection=RANKED)
    file.rename(file.with_name("gone"))
    by_vectors = ColdStart(workspace).related(NewProduct(TITLE), CANDIDATES, collection=RANKED)
    assert by_vectors.ranked == 0
    assert sorted(found(by_vectors)) == sorted(found(ranked))
    assert found(by_vectors) != found(ranked)
    file.write_text("no trees")
    with pytest.raises(StoreError, match="cannot be read") as error:
        ColdStart(workspace).related(NewProduct(TITLE), collection=RANKED)
    assert "twinvec train ranking" in error.value.hint


def test_it_is_opened_once_and_threads_get_the_same(shop: Any, workspace: Workspace) -> None:
    cold_start = ColdStart(workspace)
    cold_start.warm(RANKED)
    assert "ranker" in vars(cold_start._encoders[RANKED])
    first = cold_start.related(NewProduct(TITLE), 20, collection=RANKED)
    answers: list[Any] = []

    def ask() -> None:
        answers.append(cold_start.related(NewProduct(TITLE), 20, collection=RANKED))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [first] * 6


def test_the_version_says_whether_it_ranks_new_products(shop: Any, workspace: Workspace) -> None:
    off, on = (each["ranking"] for each in shop.versions)
    assert "cold" not in off.metrics
    assert on.metrics["cold"] == 1
    assert not (workspace.settings.paths.versions / "ranking" / "v1" / COLD_RANKER).exists()
    client = MlflowClient(workspace.settings.tracking_uri())
    logged = [{file.path for file in client.list_artifacts(str(each.run_id))} for each in (off, on)]
    assert [COLD_RANKER in names for names in logged] == [False, True]

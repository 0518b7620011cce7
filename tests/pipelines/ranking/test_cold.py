"""Features and judgement of products without edges, against plain loops."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from pipelines.graph.product_graph import Edges, ProductGraph, Split
from pipelines.ranking import cold
from pipelines.ranking.catalogue import Catalogue
from pipelines.ranking.cold import Newcomer, compute_cold, lend_vectors, nearest_rows, weigh
from pipelines.ranking.cold_learning import Query, StandIns, compare, interval, learn_cold, without
from pipelines.ranking.content import NONE, Content, unit
from pipelines.ranking.features import PRIOR, Known, Vectors
from pipelines.ranking.ranker import Examples, Ranker
from twinvec.settings import RankingSettings

MakeKnown = Callable[[Edges], Known]
NEAR, ASKED = 23, 17
OPTIONS = RankingSettings(trees=20, min_pairs=5, leaves=6, threads=1, min_edges=5)


@pytest.fixture
def newcomer(random: np.random.Generator, known_of: MakeKnown, edges: Edges) -> Newcomer:
    cosines = random.uniform(-0.2, 0.9, known_of(edges).products).astype(np.float32)
    near = nearest_rows(cosines, NEAR)
    return Newcomer(cosines, near, np.array([1, 2], np.int32), 3, 2)


def naive(known: Known, product: Newcomer, v: int) -> dict[str, float]:
    """The features of one candidate, a loop for each sum."""
    relations, content = known.relations, known.content
    out, views = relations.out.toarray(), relations.views.toarray()
    weight = {
        temperature: np.exp(product.cosines[product.nearest] / temperature) for temperature in (0.1, 0.03)
    }
    weight = {temperature: each / each.sum() for temperature, each in weight.items()}
    votes = sharp = by_targets = ten = voters = back = viewed = 0.0
    tens = weight[0.1][:10] / weight[0.1][:10].sum()
    first: defaultdict[int, float] = defaultdict(float)
    for place, near in enumerate(product.nearest.tolist()):
        broad = weight[0.1][place]
        votes += broad * out[near, v]
        sharp += weight[0.03][place] * out[near, v]
        by_targets += broad * out[near, v] / max(out[near].sum(), 1)
        ten += tens[place] * out[near, v] if place < 10 else 0
        voters += out[near, v]
        back += broad * out[v, near]
        viewed += broad * views[near, v]
        for middle in np.flatnonzero(out[near]).tolist():
            first[middle] += broad / out[near].sum()
    chain = sum(share * out[middle, v] / max(out[middle].sum(), 1) for middle, share in first.items())
    like = sum(
        share / out[:, middle].sum() * out[other, v] / out[other].sum()
        for middle, share in first.items()
        for other in np.flatnonzero(out[:, middle])
    )
    sources = np.flatnonzero(out[:, v])
    category = content.category
    ends = [(category[a], category[b]) for a, b in zip(*np.nonzero(out), strict=True)]
    here = [end for end in ends if end[0] == product.category]
    share = (sum(b == category[v] for _, b in ends) + 1) / (len(ends) + category.max() + 1)
    same = float(content.path[v] == product.path) if content.path[v] != NONE else np.nan
    return {
        "votes": votes,
        "votes_of_nearest": sharp,
        "votes_by_targets": by_targets,
        "votes_of_ten": ten,
        "votes_by_root": votes / max(len(sources), 1) ** 0.5,
        "votes_by_sources": votes / max(len(sources), 1),
        "voters": voters,
        "votes_back": back,
        "votes_views": viewed,
        "chain": chain,
        "like": like,
        "text": product.cosines[v],
        "text_gap": product.cosines[v] - product.cosines.max(),
        "text_of_sources": product.cosines[sources].mean() if len(sources) else 0.0,
        "nearest": product.cosines.max(),
        "tenth": np.sort(product.cosines)[-10],
        "neighbours_out": float(weight[0.1] @ out[product.nearest].sum(1)),
        "target_out": out[v].sum(),
        "target_in": len(sources),
        "target_views": views[v].sum(),
        "target_share": (1 + len(sources)) / (2 + len(sources) + out[v].sum()),
        "category_depth": sum(a == b != NONE for a, b in zip(content.levels[v], product.levels, strict=True)),
        "category_same": same,
        "category_flow": np.log(
            (sum(b == category[v] for _, b in here) + PRIOR * share) / (len(here) + PRIOR)
        ),
    }


def test_features_are_those_of_a_loop(
    edges: Edges, known_of: MakeKnown, newcomer: Newcomer, random: np.random.Generator
) -> None:
    known = known_of(edges)
    candidates = random.permutation(known.products)[:ASKED]
    values = compute_cold(known, newcomer, candidates)
    for place, candidate in enumerate(candidates):
        expected = naive(known, newcomer, int(candidate))
        assert set(values) == set(expected)
        for name, value in expected.items():
            assert values[name][place] == pytest.approx(value, rel=1e-4, abs=1e-5, nan_ok=True), name


def test_a_category_that_nobody_has_says_what_any_product_leads_to(
    edges: Edges, known_of: MakeKnown, newcomer: Newcomer
) -> None:
    known = known_of(edges)
    unknown = replace(newcomer, levels=np.array([-2, -2], np.int32), path=-2, category=NONE)
    candidates = np.arange(known.products)
    values = compute_cold(known, unknown, candidates)
    flow = known.category_flow
    np.testing.assert_allclose(values["category_flow"], np.log(flow.share[known.content.category]), rtol=1e-5)
    assert not values["category_depth"].any()
    assert set(np.unique(values["category_same"][known.content.path != NONE])) == {0.0}


def test_weights_and_nearest_rows() -> None:
    cosines = np.array([0.1, 0.7, 0.7, 0.9], np.float32)
    assert nearest_rows(cosines, 9).tolist() == [3, 1, 2, 0]
    np.testing.assert_allclose(weigh(cosines[[3, 1]]), [1 / (1 + np.exp(-2)), 1 / (1 + np.exp(2))], rtol=1e-5)


@pytest.mark.parametrize(("block", "most"), [(1, 90), (300, 20), (20_000_000, 90)])
def test_strangers_are_lent_the_vectors_of_products_like_them(
    random: np.random.Generator, monkeypatch: pytest.MonkeyPatch, block: int, most: int
) -> None:
    monkeypatch.setattr(cold, "BLOCK", block)
    monkeypatch.setattr(cold, "LENDERS", most)
    text = unit(random.standard_normal((90, 8)).astype(np.float32))
    text[[4, 50]] = 0
    strangers = random.random(90) < 0.3
    strangers[4] = True
    vectors = Vectors(*random.standard_normal((2, 90, 5)).astype(np.float32))
    degrees = np.where(strangers, 0, 1 + random.permutation(90)).astype(np.float32)
    lent = lend_vectors(vectors, text, degrees)
    others = [other for other in range(90) if not strangers[other] and other != 50]
    lenders = sorted(others, key=lambda other: -float(degrees[other]))[:most]
    np.testing.assert_array_equal(lent.target, vectors.target)
    for row in range(90):
        expected = vectors.source[row]
        if strangers[row] and row != 4:
            near = sorted(lenders, key=lambda other: -float(text[row] @ text[other]))[:10]
            weights = np.exp(text[near] @ text[row] / 0.1)
            expected = weights / weights.sum() @ vectors.source[near]
        np.testing.assert_allclose(lent.source[row], expected, rtol=1e-4, atol=1e-5)
    assert lend_vectors(vectors, None, degrees) is vectors
    assert lend_vectors(vectors, text, np.zeros(90, np.float32)) is vectors


def test_the_catalogue_lends_to_products_without_edges_only(random: np.random.Generator) -> None:
    catalogue, _, vectors = planted(random, informed=True)
    kept = catalogue.graph.copurchase.only(~np.isin(catalogue.graph.copurchase.source, [3, 8]))
    kept = kept.only(~np.isin(kept.target, [3, 8]))
    known = catalogue.known(kept, vectors)
    assert known.vectors is not None
    changed = np.flatnonzero((known.vectors.source != vectors.source).any(1))
    assert changed.tolist() == np.flatnonzero(known.strangers(np.arange(known.products))).tolist()
    assert {3, 8} <= set(changed.tolist())


def planted(random: np.random.Generator, informed: bool) -> tuple[Catalogue, npt.NDArray[Any], Vectors]:
    """Return a catalogue of kinds of products, each bought with products of the next kind, and vectors of noise.

    Without information, purchases do not depend on the kind, and the vectors know the edges.
    """
    products, kinds = 240, 8
    kind = np.arange(products) % kinds
    text = np.eye(kinds, 12)[kind] + 0.05 * random.standard_normal((products, 12))
    text = (text / np.linalg.norm(text, axis=1, keepdims=True)).astype(np.float32)
    source = np.repeat(np.arange(products), 6)
    target = random.integers(0, products // kinds, len(source)) * kinds + (kind[source] + 1) % kinds
    if not informed:
        target = random.integers(0, products, len(source))
    pairs = np.unique(np.stack([source, target], 1)[source != target], axis=0)
    count = np.ones(len(pairs), np.int64)
    copurchase = Edges(pairs[:, 0].copy(), pairs[:, 1].copy(), count)
    none = Edges(*(np.zeros(0, np.int64),) * 3)
    split = random.choice([Split.TRAIN, Split.VALIDATION, Split.TEST], len(pairs), p=[0.7, 0.1, 0.2])
    ids = pa.array([f"{number:04}" for number in range(products)])
    graph = ProductGraph(ids, copurchase, none, split.astype(np.int8), np.zeros(0, np.int8))
    vectors = Vectors(*random.standard_normal((2, products, 6)).astype(np.float32))
    if not informed:
        matrix = copurchase.matrix(products).toarray()
        vectors = Vectors(matrix, np.eye(products, dtype=np.float32))
    nothing = np.full(products, NONE, np.int32)
    price = np.full(products, np.nan, np.float32)
    content = Content(nothing[:, None], nothing, nothing, price, text)
    return Catalogue(graph, content, OPTIONS), text, vectors


def test_it_is_used_where_it_is_better(random: np.random.Generator) -> None:
    catalogue, text, vectors = planted(random, informed=True)
    said: list[str] = []
    ranker, figures = learn_cold(catalogue, text, vectors, 0, said.append)
    assert ranker is not None
    assert figures["cold"] == 1
    assert figures["cold_validation_mrr_low"] > 0
    assert figures["cold_validation_mrr_at_10"] > 1.3 * figures["cold_validation_vectors_mrr_at_10"]
    assert "products without edges: validation MRR@10" in said[0]
    again, _ = learn_cold(catalogue, text, vectors, 0, said.append)
    assert again is not None
    assert again.digest == ranker.digest


def test_it_is_not_used_where_the_vectors_are_as_good(random: np.random.Generator) -> None:
    catalogue, text, vectors = planted(random, informed=False)
    ranker, figures = learn_cold(catalogue, text, vectors, 0, lambda _message: None)
    assert ranker is None
    assert figures["cold"] == 0
    on = replace(catalogue, options=OPTIONS.model_copy(update={"cold": "on"}))
    ranker, figures = learn_cold(on, text, vectors, 0, lambda _message: None)
    assert ranker is not None
    assert figures["cold"] == 1


def test_what_was_taken_out_leaves_no_trace(random: np.random.Generator) -> None:
    """Features of stand-ins are the same whatever edges they have themselves, and none of them is a candidate."""
    catalogue, text, vectors = planted(random, informed=True)
    graph = catalogue.graph
    taken = np.zeros(graph.products, np.bool_)
    taken[random.permutation(graph.products)[:24]] = True
    known = without(catalogue, graph.copurchase, taken)
    touched = taken[graph.copurchase.source] | taken[graph.copurchase.target]
    others = graph.copurchase.only(~touched)
    np.testing.assert_array_equal(known.relations.out.toarray(), others.matrix(graph.products).toarray())
    assert known.relations.out[taken].nnz == known.relations.into[taken].nnz == 0
    stand_ins = StandIns(catalogue, text, vectors, 0)
    hidden = graph.edges(Split.TEST)
    queries = list(stand_ins.queries(graph.copurchase, hidden))
    assert sorted(query.source for query in queries) == np.unique(hidden.source).tolist()
    matrix = graph.copurchase.matrix(graph.products).toarray()
    for query in queries:
        own = set(hidden.target[hidden.source == query.source].tolist())
        assert query.targets == len(own)
        assert set(query.candidates[query.hidden].tolist()) <= own
        known_targets = set(np.flatnonzero(matrix[query.source]).tolist()) - own
        assert not known_targets & set(query.candidates.tolist())
        assert query.source not in query.candidates


def test_figures_are_those_of_a_loop(random: np.random.Generator) -> None:
    features = random.random((40, 3)).astype(np.float32)
    data = lightgbm.Dataset(features, features[:, 0] > 0.5)
    booster = lightgbm.train({"objective": "binary", "min_data_in_leaf": 2, "verbose": -1}, data, 5)
    queries, ours, theirs = [], [], []
    for source in range(9):
        rows = random.random((20, 3)).astype(np.float32)
        hidden = random.random(20) < 0.2
        missed = int(random.integers(0, 2))
        examples = Examples(("a", "b", "c"), rows, hidden.astype(np.float32), np.array([20]))
        queries.append(Query(source, np.arange(20), examples, int(hidden.sum()) + missed))
        scores = np.asarray(booster.predict(rows))
        for place in np.flatnonzero(hidden):
            others = scores[~hidden]
            rank = 1 + (others > scores[place]).sum() + (others == scores[place]).sum() / 2
            ours.append(1 / rank if rank <= 10 else 0)
            rank = 1 + (~hidden[:place]).sum()
            theirs.append(1 / rank if rank <= 10 else 0)
        ours += [0.0] * missed
        theirs += [0.0] * missed
    gain = compare(Ranker(booster), queries)
    assert gain.edges == len(ours)
    assert gain.mrr_at_10 == pytest.approx(np.mean(ours))
    assert gain.vectors_mrr_at_10 == pytest.approx(np.mean(theirs))
    assert gain.mrr_low < np.mean(ours) - np.mean(theirs) < gain.mrr_high


def test_the_interval_is_about_that_of_a_bootstrap_by_sources(random: np.random.Generator) -> None:
    source = np.sort(random.integers(0, 300, 1500))
    values = random.standard_normal(1500) + random.standard_normal(300)[source] + 0.2
    drawn = []
    by_source = [values[source == number] for number in range(300)]
    for _ in range(800):
        chosen = [by_source[number] for number in random.integers(0, 300, 300)]
        drawn.append(np.concatenate(chosen).mean())
    np.testing.assert_allclose(interval(values, source), np.quantile(drawn, [0.025, 0.975]), atol=0.025)

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pipelines.graph.product_graph import Edges
from pipelines.ranking.features import Known
from pipelines.ranking.listing import Ranked, make_examples, make_lists, mark_rows
from pipelines.ranking.ranker import Ranker, fit
from pipelines.ranking.sparse import Pairs
from twinvec.settings import RankingSettings
from twinvec.vectors.lists import NONE

MakeKnown = Callable[[Edges], Known]
OPTIONS = RankingSettings(
    trees=8, min_pairs=2, leaves=4, threads=1, candidates=10, negatives=20, length=20, chunk=7
)


def trained(known_of: MakeKnown, edges: Edges) -> tuple[Known, Ranker]:
    hidden, observed = edges.only(np.arange(0, len(edges), 4)), edges.only(np.arange(len(edges)) % 4 != 0)
    known = known_of(observed)
    examples = make_examples(known, hidden, observed.matrix(known.products), OPTIONS, seed=0)
    return known, fit(examples, OPTIONS, 0)


def test_hidden_edges_are_the_examples(edges: Edges, known_of: MakeKnown) -> None:
    hidden, observed = edges.only(np.arange(0, len(edges), 4)), edges.only(np.arange(len(edges)) % 4 != 0)
    known = known_of(observed)
    options = OPTIONS.model_copy(update={"candidates": 61, "negatives": 5})
    examples = make_examples(known, hidden, observed.matrix(known.products), options, seed=0)
    assert examples.counts.sum() == len(examples.features) == len(examples.hidden)
    query = np.repeat(np.arange(len(examples.counts)), examples.counts)
    others = np.bincount(query, weights=1 - examples.hidden)
    assert (others <= 5).all(), "as many other candidates as asked for"
    assert (np.bincount(query, weights=examples.hidden) > 0).all(), "each query has something to teach"
    assert examples.hidden.sum() == len(hidden), "all edges are candidates of so many"


def test_a_lent_edge_is_learned_as_an_edge(edges: Edges, known_of: MakeKnown) -> None:
    random = np.random.default_rng(3)
    lent = replace(edges, weight=random.uniform(0.05, 1, len(edges)).astype(np.float32))
    known, ranker = trained(known_of, lent)
    hidden, observed = lent.only(np.arange(0, len(edges), 4)), lent.only(np.arange(len(edges)) % 4 != 0)
    examples = make_examples(known, hidden, observed.matrix(known.products), OPTIONS, seed=0)
    assert set(examples.hidden.tolist()) == {0.0, 1.0}
    assert ranker.score(examples.features).std() > 0


def test_lists_are_in_the_order_of_the_scores(edges: Edges, known_of: MakeKnown) -> None:
    known, ranker = trained(known_of, edges)
    sources = np.arange(known.products)
    whole = make_lists(known, ranker, sources, OPTIONS.model_copy(update={"chunk": 61}), 50)
    parts = make_lists(known, ranker, sources, OPTIONS, 50)
    np.testing.assert_array_equal(whole.targets, parts.targets)
    np.testing.assert_array_equal(whole.marks, parts.marks)
    listed = whole.targets != NONE
    assert (np.diff(np.where(listed, whole.scores, -np.inf), axis=1)[listed[:, 1:]] <= 0).all()
    assert not (whole.targets == sources[:, None]).any()
    left_out = edges.matrix(known.products)
    without = make_lists(known, ranker, sources, OPTIONS, 50, left_out)
    row, place = np.nonzero(without.targets != NONE)
    assert not np.asarray(left_out[row, without.targets[row, place]]).any()


def test_lists_of_the_same_candidates_are_taken_over(edges: Edges, known_of: MakeKnown) -> None:
    """Equal to all anew, whatever was taken over; and what is taken over is not computed."""
    known, ranker = trained(known_of, edges)
    sources = np.arange(known.products)
    before = make_lists(known, ranker, sources, OPTIONS)
    later = known_of(edges.only(np.arange(len(edges)) != 5))
    anew = make_lists(later, ranker, sources, OPTIONS)
    some = make_lists(later, ranker, sources, OPTIONS, taken=before)
    np.testing.assert_array_equal(some.targets, anew.targets)
    np.testing.assert_array_equal(some.scores, anew.scores)
    same = anew.marks == before.marks
    planted = make_lists(later, ranker, sources, OPTIONS, taken=replace(before, scores=before.scores + 1))
    np.testing.assert_array_equal((planted.scores[:, 0] != anew.scores[:, 0]), same)


def test_marks_tell_different_features_and_candidates() -> None:
    pairs = Pairs(np.arange(2), np.array([0, 0, 1]), np.array([1, 2, 0]), 3)
    features = np.array([[1, np.nan], [0, 2], [3, 4]], np.float32)
    names = np.array([11, 12, 13], np.uint64)
    marks = mark_rows(pairs, features, names)
    assert marks[0] != marks[1]
    np.testing.assert_array_equal(mark_rows(pairs, features * np.float32(1), names), marks)
    other = mark_rows(replace(pairs, target=np.array([0, 2, 0])), features, names)
    assert (other != marks).tolist() == [True, False]
    changed = features.copy()
    changed[2, 1] = np.nextafter(np.float32(4), np.float32(5))
    assert (mark_rows(pairs, changed, names) != marks).tolist() == [False, True]
    swapped = mark_rows(pairs, features[:, ::-1].copy(), names)
    assert (swapped != marks).all()


def test_the_matrix_of_ranks() -> None:
    ranked = Ranked(
        np.array([2, 0]),
        np.array([[1, 0], [3, NONE]], np.int32),
        np.zeros((2, 2), np.float32),
        np.zeros(2, np.uint64),
    )
    expected = np.zeros((4, 4))
    expected[2, 1], expected[2, 0], expected[0, 3] = 1, 0.5, 1
    np.testing.assert_array_equal(ranked.matrix(4).toarray(), expected)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp

from pipelines.graph.product_graph import Edges
from pipelines.ranking.candidates import SCORES, find_candidates
from pipelines.ranking.evidence import EVIDENCE
from pipelines.ranking.features import PRIOR, Known, compute, score_rows
from pipelines.ranking.sparse import Pairs, ranks_within, values_at
from twinvec.nn.pagerank import keep_largest

Floats = npt.NDArray[np.floating]
MakeKnown = Callable[[Edges], Known]


def all_pairs(products: int, sources: npt.NDArray[np.int64]) -> Pairs:
    row, target = np.divmod(np.arange(len(sources) * products), products)
    return Pairs(sources, row, target, products)


def without_hubs(matrix: Floats, hub: int) -> Floats:
    return np.where((matrix > 0).sum(1, keepdims=True) <= hub, matrix, 0)


def cosine(sets: Floats, hub: int, keep: int) -> Floats:
    """Cosine of rows over the columns that are no hubs, the largest of each row."""
    norm = np.linalg.norm(sets, axis=1)
    use = (sets > 0).sum(0) <= hub
    found = np.divide(
        (sets[:, use] @ sets[:, use].T),
        np.outer(norm, norm),
        where=np.outer(norm, norm) > 0,
        out=np.zeros((len(sets), len(sets))),
    )
    np.fill_diagonal(found, 0)
    return keep_largest(sp.csr_array(found), keep).toarray()


def walked(weights: Floats, restart: float, steps: int) -> Floats:
    total = weights.sum(1, keepdims=True)
    step = np.divide(weights, total, where=total > 0, out=np.zeros_like(weights))
    here = np.eye(len(weights))
    found = restart * here
    for _ in range(steps):
        here = (1 - restart) * here @ step
        here[here < 1e-4] = 0
        found += restart * here
    return found


def dense(known: Known) -> dict[str, Floats]:
    """The graph's features of all pairs, by dense matrices."""
    relations, hub, keep = known.relations, known.relations.hub, known.relations.keep
    out = relations.out.toarray().astype(np.float64)
    views = relations.views.toarray().astype(np.float64)
    into = out.T
    either = out + into
    degree = out.sum(1) + out.sum(0)
    forth, back = without_hubs(out, hub), without_hubs(into, hub)
    by_in, by_out = (1 / np.maximum(each, 1) for each in (out.sum(0), out.sum(1)))
    both = np.minimum(either, 1)
    return {
        "walk_forth": walked(out, 0.3, 4),
        "walk_both": walked(both, 0.3, 4),
        "walk_views": walked(both + views, 0.3, 4),
        "adamic": either / np.log(np.maximum(degree, 2)) @ without_hubs(either, hub),
        "resource": either / np.maximum(degree, 1) @ without_hubs(either, hub),
        "chain": out @ forth,
        "chain_weighted": out * by_out @ forth,
        "chain_back": into @ back,
        "common_targets": out @ back,
        "common_targets_weighted": out * by_in @ back,
        "common_sources": into @ forth,
        "common_sources_weighted": into * by_out @ forth,
        "like_targets": out @ cosine(into, hub, keep),
        "like_sources": cosine(out, hub, keep) @ forth,
        "like_neighbours": either @ cosine(either, hub, keep),
        "views_of_targets": out @ without_hubs(views, hub),
        "targets_of_views": views @ forth,
        "back": into,
        "views": views,
        "target_out": np.tile(out.sum(1), (len(out), 1)),
        "source_in": np.tile(out.sum(0)[:, None], (1, len(out))),
    }


def test_the_graphs_features_are_those_of_dense_matrices(edges: Edges, known_of: MakeKnown) -> None:
    known = known_of(edges)
    sources = np.arange(3, known.products)
    pairs = all_pairs(known.products, sources)
    values = compute(known, score_rows(known, sources), pairs)
    for name, expected in dense(known).items():
        found = values[name].reshape(len(sources), -1)
        np.testing.assert_allclose(found, expected[sources], rtol=1e-4, atol=1e-5, err_msg=name)


def test_the_contents_features_are_those_of_a_loop(edges: Edges, known_of: MakeKnown) -> None:
    known = known_of(edges)
    sources = np.array([0, 7, 60])
    pairs = all_pairs(known.products, sources)
    values = compute(known, score_rows(known, sources), pairs)
    content = known.content
    assert content.text is not None
    out = known.relations.out.toarray()
    ends = list(zip(*np.nonzero(out), strict=True))
    for place, (u, v) in enumerate(zip(pairs.source, pairs.target, strict=True)):
        same = sum(a == b != -1 for a, b in zip(content.levels[u], content.levels[v], strict=True))
        assert values["category_depth"][place] == same
        missing = content.brand[u] == -1 or content.brand[v] == -1
        assert np.isnan(values["brand_same"][place]) == missing
        assert missing or values["brand_same"][place] == (content.brand[u] == content.brand[v])
        assert values["text"][place] == pytest.approx(content.text[u] @ content.text[v], abs=1e-5)
        mean = content.text[np.flatnonzero(out[u])].sum(0) / max(out[u].sum(), 1)
        assert values["text_of_targets"][place] == pytest.approx(mean @ content.text[v], abs=1e-5)
    category = content.category
    u, v = int(pairs.source[-1]), int(pairs.target[-1])
    from_here = [category[b] for a, b in ends if category[a] == category[u]]
    to_there = sum(category[b] == category[v] for _, b in ends)
    share = (to_there + 1) / (len(ends) + category.max() + 1)
    flow = np.log((from_here.count(category[v]) + PRIOR * share) / (len(from_here) + PRIOR))
    assert values["category_flow"][-1] == pytest.approx(flow, abs=0.0501)


def test_a_hidden_edge_leaves_no_trace(
    edges: Edges, known_of: MakeKnown, random: np.random.Generator
) -> None:
    """The ranker sees of a hidden edge only what it would see if nobody had ever bought the two together."""
    hidden = random.permutation(len(edges))[:40]
    observed = edges.only(np.setdiff1d(np.arange(len(edges)), hidden))
    sources = np.unique(edges.source[hidden])
    seen, never = known_of(observed), known_of(edges)
    pairs = all_pairs(seen.products, sources)
    values = compute(seen, score_rows(seen, sources), pairs)
    again = compute(seen, score_rows(seen, sources), pairs)
    told = compute(never, score_rows(never, sources), pairs)
    place = np.isin(
        pairs.keys, np.searchsorted(sources, edges.source[hidden]) * seen.products + edges.target[hidden]
    )
    for name in values:
        np.testing.assert_array_equal(values[name], again[name])
    dense_values = dense(seen)
    for name in ("walk_both", "adamic", "chain", "like_targets"):
        expected = dense_values[name][pairs.source[place], pairs.target[place]]
        np.testing.assert_allclose(values[name][place], expected, rtol=1e-4, atol=1e-5)
        assert (values[name][place] != told[name][place]).any()


def test_candidates_are_the_best_by_each_score(edges: Edges, known_of: MakeKnown) -> None:
    known = known_of(edges)
    sources = np.array([2, 30, 31])
    rows = score_rows(known, sources)
    without = sp.csr_array(known.relations.out[sources])
    pairs = find_candidates(rows, sources, 4, known.vectors, without)
    assert known.vectors is not None
    for row, source in enumerate(sources):
        allowed = np.flatnonzero(without[[row]].toarray()[0] == 0)
        allowed = allowed[allowed != source]
        expected: set[int] = set()
        dots = known.vectors.target @ known.vectors.source[source]
        for scores in [*(rows[name][[row]].toarray()[0] for name in SCORES), dots - dots.min() + 1]:
            some = allowed[scores[allowed] > 0]
            expected |= set(some[np.lexsort((some, -scores[some]))][:4])
        assert set(pairs.target[pairs.row == row]) == expected


def test_ranks_within_a_source(random: np.random.Generator) -> None:
    pairs = Pairs(np.arange(4), np.array([0, 0, 0, 0, 2, 2, 3]), np.arange(7), 9)
    scores = np.array([1.0, 5.0, 5.0, 0.0, 2.0, 3.0, 7.0], np.float32)
    assert ranks_within(pairs, scores).tolist() == [2, 0, 0, 3, 1, 0, 0]


def test_known_pairs_do_not_count(random: np.random.Generator) -> None:
    """Ranks are those among the other candidates, as where the ranker learns."""
    row = np.sort(random.integers(0, 6, 80))
    pairs = Pairs(np.arange(6), row, np.arange(80), 80)
    scores = random.integers(0, 9, 80).astype(np.float32)
    known = random.random(80) < 0.3
    ranks = ranks_within(pairs, scores, known)
    for place in range(80):
        others = scores[(row == row[place]) & ~known]
        assert ranks[place] == (others > scores[place]).sum()


def test_values_at_pairs(random: np.random.Generator) -> None:
    dense = np.where(random.random((5, 13)) < 0.4, random.random((5, 13)), 0).astype(np.float32)
    pairs = all_pairs(13, np.arange(5))
    rows: Any = sp.csr_array(dense)
    np.testing.assert_array_equal(values_at(rows, pairs), dense.ravel())
    nothing: Any = sp.csr_array((5, 13), dtype=np.float32)
    assert not values_at(nothing, pairs).any()


def test_every_feature_is_a_kind_of_evidence(edges: Edges, known_of: MakeKnown) -> None:
    known = known_of(edges)
    sources = np.array([1])
    values = compute(known, score_rows(known, sources), all_pairs(known.products, sources))
    listed = [name for names in EVIDENCE.values() for name in names]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(values)

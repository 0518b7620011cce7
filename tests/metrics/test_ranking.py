"""Ranks of true targets against a loop over edges and products."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from twinvec.metrics.ranking import rank_targets, ranking_metrics

IntArray = npt.NDArray[np.int64]


def loop_ranks(
    source: Tensor, target: Tensor, edges: list[tuple[int, int]], known: set[tuple[int, int]]
) -> list[float]:
    """Written from the protocol: all products but the source, its known and its other listed targets."""
    ranks = []
    s, t = source.double().numpy(), target.double().numpy()
    for u, v in edges:
        others = [
            z for z in range(len(t)) if z not in (u, v) and (u, z) not in known and (u, z) not in set(edges)
        ]
        own = s[u] @ t[v]
        better = sum(s[u] @ t[z] > own + 1e-9 for z in others)
        equal = sum(abs(s[u] @ t[z] - own) <= 1e-9 for z in others)
        ranks.append(1 + better + equal / 2)
    return ranks


def as_matrix(pairs: set[tuple[int, int]], products: int, value: float = 1.0) -> sp.csr_array:
    starts, ends = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2).T
    return sp.csr_array((np.full(len(starts), value, np.float32), (starts, ends)), shape=(products, products))


def as_arrays(edges: list[tuple[int, int]]) -> tuple[IntArray, IntArray]:
    starts, ends = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    return starts, ends


def random_case(seed: int, products: int = 31) -> tuple[list[tuple[int, int]], set[tuple[int, int]]]:
    random = np.random.default_rng(seed)
    edges = [(int(u), int(v)) for u, v in np.unique(random.integers(0, products, (40, 2)), axis=0) if u != v]
    # Many known targets of a few sources; some listed edges are known as well.
    known = {(int(u), int(v)) for u, v in random.integers(0, products, (120, 2))} | set(edges[::6])
    return edges, known


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 40))
def test_ranks_are_those_of_a_loop(seed: int, batch: int, chunk: int) -> None:
    edges, known = random_case(seed)
    generator = torch.Generator().manual_seed(seed)
    source, target = torch.randn(2, 31, 6, generator=generator).unbind()
    found = rank_targets(source, target, as_arrays(edges), as_matrix(known, 31), batch, chunk)
    assert found.tolist() == loop_ranks(source, target, edges, known)


@pytest.mark.parametrize("chunk", [5, 31])
def test_ties_share_their_ranks(chunk: int) -> None:
    edges, known = random_case(3)
    # Whole numbers, so that scores are often equal, and exactly.
    source, target = torch.randint(-1, 2, (2, 31, 2)).float().unbind()
    found = rank_targets(source, target, as_arrays(edges), as_matrix(known, 31), batch=7, chunk=chunk)
    assert found.tolist() == loop_ranks(source, target, edges, known)
    assert any(rank % 1 for rank in found)


@pytest.mark.parametrize("dimension", [3, 37, 128])
def test_a_collapsed_model_ranks_in_the_middle(dimension: int) -> None:
    """All targets have one vector: nothing is recommended, whatever the rounding of a dot product."""
    source = torch.randn(1001, dimension)
    target = torch.randn(1, dimension).expand(1001, dimension).contiguous()
    edges = as_arrays([(u, u + 300) for u in range(200)])
    for scale in (1e-3, 1.0, 50.0):
        ranks = rank_targets(scale * source, target, edges, as_matrix(set(), 1001), chunk=257)
        # 999 others: 1 + 999 / 2.
        assert set(ranks) == {500.5}


def test_a_model_that_has_diverged_ranks_last() -> None:
    nothing = torch.full((20, 4), torch.nan)
    ranks = rank_targets(nothing, nothing, as_arrays([(0, 1), (5, 6)]), as_matrix(set(), 20))
    assert (ranks >= 19).all()
    assert ranking_metrics(ranks).hits_at_10 == 0


def test_exclusions_by_hand() -> None:
    # Source 0 scores products 0…5 with 9, 1, 2, 3, 4, 5. The edge is 0 → 2, listed with it is 0 → 4, known 0 → 5.
    source = torch.ones(6, 1)
    target = torch.tensor([[9.0], [1.0], [2.0], [3.0], [4.0], [5.0]])
    ranks = rank_targets(source, target, as_arrays([(0, 2), (0, 4)]), as_matrix({(0, 5)}, 6))
    # Only 3 is above 2 and may be recommended; nothing is above 4.
    assert ranks.tolist() == [2, 1]


def test_known_pairs_count_whatever_their_value() -> None:
    source, target = torch.ones(4, 1), torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    for value in (-1.0, 0.5, 7.0):
        assert rank_targets(
            source, target, as_arrays([(0, 1)]), as_matrix({(0, 2), (0, 3)}, 4, value)
        ).tolist() == [1]


def test_metrics_by_hand() -> None:
    metrics = ranking_metrics(np.array([1, 2, 3, 4, 5.5, 10, 10.5, 11, 200, 1]))
    assert metrics.edges == 10
    assert metrics.hits_at_1 == pytest.approx(0.2)
    assert metrics.hits_at_3 == pytest.approx(0.4)
    assert metrics.hits_at_5 == pytest.approx(0.5)
    assert metrics.hits_at_10 == pytest.approx(0.7)
    # Ranks beyond 10 count as nothing: (1 + 1/2 + 1/3 + 1/4 + 1/5.5 + 1/10 + 1) / 10
    assert metrics.mrr_at_10 == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4 + 1 / 5.5 + 1 / 10 + 1) / 10)


def test_no_edges() -> None:
    none = rank_targets(torch.randn(3, 2), torch.randn(3, 2), as_arrays([]), as_matrix(set(), 3))
    metrics = ranking_metrics(none)
    assert (metrics.edges, metrics.mrr_at_10, metrics.hits_at_10) == (0, 0, 0)

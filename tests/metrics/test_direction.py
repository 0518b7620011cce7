"""Link direction against counting pairs of scores one by one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp
import torch

from twinvec.metrics.direction import direction_metrics
from twinvec.metrics.scores import DotProducts, in_batches

IntArray = npt.NDArray[np.int64]


def adjacency(edges: npt.NDArray[np.int64], products: int) -> sp.csr_array:
    ones = np.ones(len(edges), np.float32)
    return sp.csr_array((ones, (edges[:, 0], edges[:, 1])), shape=(products, products))


def random_edges(seed: int, products: int, count: int) -> npt.NDArray[np.int64]:
    edges = np.random.default_rng(seed).integers(0, products, (count, 2))
    return np.unique(edges[edges[:, 0] != edges[:, 1]], axis=0)


@pytest.mark.parametrize("whole_numbers", [False, True])
def test_auc_is_the_share_of_pairs_in_order(whole_numbers: bool) -> None:
    every = random_edges(1, 17, 130)
    held_out = every[::3]
    source, target = torch.randn(2, 17, 4).unbind()
    if whole_numbers:
        source, target = source.round(), target.round()
    known = {tuple(edge) for edge in every.tolist()}
    one_way = [(u, v) for u, v in held_out.tolist() if (v, u) not in known]
    assert 0 < len(one_way) < len(held_out)
    forward = [float(source[u] @ target[v]) for u, v in one_way]
    backward = [float(source[v] @ target[u]) for u, v in one_way]
    order = [1.0 if f > b else 0.5 if f == b else 0.0 for f in forward for b in backward]
    own = [1.0 if f > b else 0.5 if f == b else 0.0 for f, b in zip(forward, backward, strict=True)]

    found = direction_metrics(source, target, (held_out[:, 0], held_out[:, 1]), adjacency(every, 17))
    assert found.one_way_edges == len(one_way)
    assert found.auc_dir == pytest.approx(np.mean(order), abs=1e-6)
    assert found.right_way == pytest.approx(np.mean(own), abs=1e-6)


def test_by_hand() -> None:
    # One number a product: s_u t_v for 0 → 1 is 2 × 3, its reverse 1 × 5; for 2 → 3 it is 1 × 1, its reverse 4 × 2.
    source = torch.tensor([[2.0], [1.0], [1.0], [4.0]])
    target = torch.tensor([[5.0], [3.0], [2.0], [1.0]])
    edges = np.array([[0, 1], [2, 3]])
    found = direction_metrics(source, target, (edges[:, 0], edges[:, 1]), adjacency(edges, 4))
    assert found.right_way == 0.5
    # Edges score 6 and 1, reverses 5 and 8: of the four pairs, only 6 > 5 is in order.
    assert found.auc_dir == pytest.approx(1 / 4)


def test_a_model_without_direction_is_at_one_half() -> None:
    edges = random_edges(2, 40, 200)
    vectors = torch.randn(40, 16)
    found = direction_metrics(vectors, vectors, (edges[:, 0], edges[:, 1]), adjacency(edges, 40))
    assert found.auc_dir == pytest.approx(0.5)
    assert found.right_way == 0.5


def test_edges_in_both_directions_are_not_counted() -> None:
    edges = np.array([[0, 1], [1, 0], [2, 3]])
    source, target = torch.tensor([[1.0], [0], [1], [0]]), torch.tensor([[0.0], [1], [0], [1]])
    found = direction_metrics(source, target, (edges[:, 0], edges[:, 1]), adjacency(edges, 4))
    assert (found.one_way_edges, found.auc_dir, found.right_way) == (1, 1.0, 1.0)
    none = direction_metrics(source, target, (edges[:2, 0], edges[:2, 1]), adjacency(edges, 4))
    assert (none.one_way_edges, none.auc_dir, none.right_way) == (0, 0.5, 0.5)


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_batches_of_scores(batch: int) -> None:
    source, target = torch.randn(2, 9, 5).unbind()
    starts, ends = random_edges(3, 9, 30).T
    expected = (source @ target.T).numpy()[starts, ends]
    np.testing.assert_allclose(
        in_batches(DotProducts(source, target).pairs, starts, ends, batch), expected, rtol=1e-5, atol=1e-6
    )
    assert len(in_batches(DotProducts(source, target).pairs, starts[:0], ends[:0])) == 0

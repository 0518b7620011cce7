"""The reach of changes, and the part of the graph that gives the same vectors as the whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipelines.update.frontier import part_around, reached, rows_that_differ, touched
from twinvec.nn.sampling.blocks import Neighbours, from_edges


def random_graph(random: np.random.Generator, nodes: int, edges: int) -> Neighbours:
    """Edges in both directions, each once."""
    pairs = {(int(a), int(b)) for a, b in random.integers(nodes, size=(edges, 2)) if a != b}
    both = torch.tensor(sorted(pairs | {(b, a) for a, b in pairs}))
    return from_edges(both[:, 0], both[:, 1], nodes)


def lists(graph: Neighbours) -> list[set[int]]:
    """The neighbours of each node."""
    return [set(part.tolist()) for part in torch.split(graph.positions, graph.degrees().tolist())]


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_changes_reach_what_a_walk_finds(layers: int) -> None:
    random = np.random.default_rng(layers)
    graph = {"a": random_graph(random, 60, 50), "b": random_graph(random, 60, 30)}
    near = [set().union(*some) for some in zip(*map(lists, graph.values()), strict=True)]
    changed = torch.from_numpy(random.random(60) < 0.05)
    other = torch.from_numpy(random.random(60) < 0.05)
    expected = set(torch.nonzero(changed)[:, 0].tolist())
    for _ in range(layers):
        expected |= {node for node in range(60) if near[node] & expected} | set(
            torch.nonzero(other)[:, 0].tolist()
        )
    found = reached(changed, other, graph, layers)
    assert set(torch.nonzero(found)[:, 0].tolist()) == expected
    assert len(expected) < 60


def test_touched_nodes_have_other_neighbours() -> None:
    random = np.random.default_rng(5)
    # 40 nodes; the first 30 of the later graph are nodes 5 … 34 of the earlier one, mixed.
    kept = torch.from_numpy(random.permutation(np.arange(5, 35)))
    place = torch.full((40,), -1)
    place[kept] = torch.arange(30)
    before = random_graph(random, 40, 60)
    inside = [
        (int(place[a]), int(place[b]))
        for a, some in enumerate(lists(before))
        for b in some
        if place[a] >= 0 and place[b] >= 0
    ]
    gone, new = {inside[0], inside[0][::-1]}, {(3, 32), (32, 3)}
    after = torch.tensor(sorted((set(inside) - gone) | new))
    now = from_edges(after[:, 0], after[:, 1], 33)
    was = lists(before)
    expected = set()
    for node, some in enumerate(lists(now)):
        old = was[int(kept[node])] if node < 30 else set()
        renumbered = {int(place[each]) for each in old}  # -1 of one that is gone
        if renumbered != some:
            expected.add(node)
    assert set(torch.nonzero(touched({"r": before}, {"r": now}, place))[:, 0].tolist()) == expected
    assert {3, 32, *inside[0]} <= expected
    assert len(expected) < 30


def test_rows_that_differ() -> None:
    before, after = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[3.0, 4.0], [1.0, 2.5], [0.0, 0.0]])
    assert rows_that_differ(before, after, torch.tensor([1, 0, -1])).tolist() == [False, True, True]


@pytest.mark.parametrize(("layers", "roles"), [(1, 1), (2, 2), (3, 2)])
def test_a_part_gives_what_the_whole_gives(layers: int, roles: int) -> None:
    random = np.random.default_rng(7 * layers + roles)
    products = 41
    graph = {name: random_graph(random, roles * products, 40) for name in ("a", "b")}
    features = torch.from_numpy(random.standard_normal((roles * products, 3)))
    wanted = torch.from_numpy(random.random(products) < 0.1)

    def run(rows: torch.Tensor, relations: dict[str, Neighbours]) -> torch.Tensor:
        for layer in range(layers):
            sums = [
                torch.stack([rows[list(some)].sum(0) for some in lists(near)]) for near in relations.values()
            ]
            rows = torch.tanh(rows + (layer + 1) * sums[0] - sums[1])
        return rows

    whole = run(features, graph).reshape(roles, products, 3)
    part = part_around(wanted, graph, layers, roles)
    assert len(part.products) < products
    found = run(features[part.nodes(roles, products)], dict(part.graph)).reshape(roles, -1, 3)
    chosen = wanted[part.products]
    torch.testing.assert_close(found[:, chosen], whole[:, wanted])

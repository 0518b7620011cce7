"""The contract of every neighbour sampler; a new one is added to `tests.samplers.SAMPLERS` and to nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from torch import Tensor

from tests.samplers import HAS_DGL, SAMPLERS, needs_dgl
from twinvec.errors import SettingsError
from twinvec.nn.sampling.blocks import Block, Neighbours, Sampler, from_edges
from twinvec.nn.sampling.csr import CsrSampler
from twinvec.nn.sampling.samplers import SamplerName, make_sampler, resolve_sampler

NODES = 61
Make = Callable[..., Sampler]
Sets = dict[str, list[set[int]]]


@pytest.fixture(params=SAMPLERS)
def make(request: pytest.FixtureRequest) -> Make:
    def sampler(
        graph: Mapping[str, Neighbours], fanouts: Mapping[str, int], hops: int, seed: int = 0
    ) -> Sampler:
        return make_sampler(request.param, graph, fanouts, hops, seed)

    return sampler


def random_graph(seed: int) -> tuple[dict[str, Neighbours], Sets]:
    """Two relations, one sparse, with nodes that have no neighbours; and the same as sets."""
    random = np.random.default_rng(seed)
    graph, sets = {}, {}
    for name, edges in (("copurchase", 350), ("coview", 60)):
        pairs = np.unique(random.integers(0, NODES, (edges, 2)), axis=0)
        pairs = pairs[pairs[:, 0] % 7 != 3]
        graph[name] = from_edges(torch.from_numpy(pairs[:, 0]), torch.from_numpy(pairs[:, 1]), NODES)
        sets[name] = [{int(v) for u, v in pairs if u == node} for node in range(NODES)]
    return graph, sets


def chosen(block: Block, depth: int, name: str) -> list[list[int]]:
    """The sampled neighbours, as nodes of the graph, of each output of a layer."""
    part = block.hops[depth].neighbours[name]
    nodes = block.nodes[part.positions].tolist()
    return [nodes[part.offsets[row] : part.offsets[row + 1]] for row in range(part.rows)]


def check_form(block: Block, seeds: Tensor, names: set[str]) -> None:
    """Seeds first; each layer's outputs are its first inputs; nothing is in the block that no row needs."""
    assert torch.equal(block.nodes[: len(seeds)], seeds)
    assert len(block.nodes) == len(block.nodes.unique())  # type: ignore[no-untyped-call]
    assert block.hops[0].inputs == len(block.nodes)
    assert block.hops[-1].rows == len(seeds)
    for below, above in zip(block.hops, block.hops[1:], strict=False):
        assert below.rows == above.inputs
    for depth, hop in enumerate(block.hops):
        assert set(hop.neighbours) == names
        needed = set(block.nodes[: hop.rows].tolist())
        for name in names:
            assert hop.neighbours[name].rows == hop.rows
            needed.update(*chosen(block, depth, name))
        assert needed == set(block.nodes[: hop.inputs].tolist())


@pytest.mark.parametrize("fanout", [-1, NODES])
@pytest.mark.parametrize("hops", [1, 2, 3])
def test_full_fanout_is_the_whole_neighbourhood(make: Make, fanout: int, hops: int) -> None:
    graph, sets = random_graph(hops)
    block = make(graph, dict.fromkeys(graph, fanout), hops).sample(torch.tensor([40, 3, 17, 9, 0]))
    check_form(block, torch.tensor([40, 3, 17, 9, 0]), set(graph))
    outputs = {40, 3, 17, 9, 0}
    for depth in reversed(range(hops)):
        nodes = block.nodes[: block.hops[depth].rows].tolist()
        assert set(nodes) == outputs
        for name in graph:
            assert [sorted(row) for row in chosen(block, depth, name)] == [
                sorted(sets[name][n]) for n in nodes
            ]
            outputs = outputs.union(*(sets[name][node] for node in nodes))
    assert set(block.nodes.tolist()) == outputs


@pytest.mark.parametrize("fanouts", [{"copurchase": 4, "coview": 1}, {"copurchase": 2, "coview": -1}])
def test_small_fanout_takes_distinct_true_neighbours(make: Make, fanouts: Mapping[str, int]) -> None:
    graph, sets = random_graph(11)
    sampler = make(graph, fanouts, 2, seed=5)
    for start in range(0, NODES - 13, 11):
        seeds = torch.arange(start, start + 13).flip(0)
        block = sampler.sample(seeds)
        check_form(block, seeds, set(graph))
        for depth, hop in enumerate(block.hops):
            for name, fanout in fanouts.items():
                for node, row in zip(
                    block.nodes[: hop.rows].tolist(), chosen(block, depth, name), strict=True
                ):
                    true = sets[name][node]
                    assert len(row) == len(set(row)) == (len(true) if fanout < 0 else min(fanout, len(true)))
                    assert set(row) <= true


def test_each_set_of_neighbours_is_equally_likely(make: Make) -> None:
    # 1,000 nodes with the same five neighbours, of which two are taken: ten sets, 400 times each expected.
    rows, degree, fanout, rounds = 1000, 5, 2, 4
    positions = (torch.arange(degree) + rows).repeat(rows)
    owner = torch.arange(rows).repeat_interleave(degree)
    # A neighbour of its own for the last rows, so that rows of other degrees are mixed in.
    graph = {"copurchase": from_edges(owner, positions, rows + degree)}
    sampler = make(graph, {"copurchase": fanout}, 1, seed=8)
    found = dict.fromkeys(combinations(range(rows, rows + degree), fanout), 0)
    for _ in range(rounds):
        for row in chosen(sampler.sample(torch.arange(rows)), 0, "copurchase"):
            found[tuple(sorted(row))] += 1
    expected = rows * rounds / len(found)
    statistic = sum((count - expected) ** 2 / expected for count in found.values())
    assert chi2.sf(statistic, len(found) - 1) > 1e-3, found


def test_each_neighbour_of_a_busy_node_is_equally_likely(make: Make) -> None:
    degree, fanout, draws = 23, 6, 600
    graph = {
        "copurchase": from_edges(torch.zeros(degree, dtype=torch.int64), torch.arange(1, degree + 1), 30)
    }
    sampler = make(graph, {"copurchase": fanout}, 1, seed=21)
    counts = np.zeros(30)
    for _ in range(draws):
        counts[chosen(sampler.sample(torch.tensor([0, 25])), 0, "copurchase")[0]] += 1
    share = fanout / degree
    counts = counts[1 : degree + 1]
    # Each count is binomial, and they add up to fanout × draws: the usual correction of the χ² for that.
    statistic = ((counts - draws * share) ** 2).sum() / (draws * share * (1 - share)) * (degree - 1) / degree
    assert chi2.sf(statistic, degree - 1) > 1e-3, counts


def several(sampler: Sampler) -> list[Block]:
    return [sampler.sample(torch.arange(start, start + 9)) for start in (0, 20, 0)]


def same(one: Block, other: Block) -> bool:
    return torch.equal(one.nodes, other.nodes) and all(
        torch.equal(a.neighbours[name].offsets, b.neighbours[name].offsets)
        and torch.equal(a.neighbours[name].positions, b.neighbours[name].positions)
        for a, b in zip(one.hops, other.hops, strict=True)
        for name in a.neighbours
    )


def test_a_seed_repeats_the_blocks_in_any_thread(make: Make) -> None:
    graph, _ = random_graph(4)
    fanouts = {"copurchase": 2, "coview": 2}
    first = several(make(graph, fanouts, 2, seed=3))
    again = several(make(graph, fanouts, 2, seed=3))
    with ThreadPoolExecutor(1) as executor:
        elsewhere = executor.submit(several, make(graph, fanouts, 2, seed=3)).result()
    other = several(make(graph, fanouts, 2, seed=4))
    assert all(map(same, first, again))
    assert all(map(same, first, elsewhere))
    assert not any(map(same, first, other))
    assert not same(first[0], first[2]), "the second draw for the same seeds is the first again"


def test_two_samplers_do_not_disturb_each_other(make: Make) -> None:
    graph, _ = random_graph(6)
    fanouts = {"copurchase": 2, "coview": 1}
    alone = several(make(graph, fanouts, 2, seed=1))
    one, other = make(graph, fanouts, 2, seed=1), make(graph, fanouts, 2, seed=2)
    beside = []
    for start in (0, 20, 0):
        other.sample(torch.arange(start, start + 5))
        beside.append(one.sample(torch.arange(start, start + 9)))
    assert all(map(same, alone, beside))


def test_nodes_without_neighbours(make: Make) -> None:
    graph, _ = random_graph(1)
    seeds = torch.tensor([3, 10, 17])
    block = make(graph, {"copurchase": 4, "coview": 4}, 2).sample(seeds)
    assert torch.equal(block.nodes, seeds)
    assert all(not len(part.positions) for hop in block.hops for part in hop.neighbours.values())


@needs_dgl
def test_both_samplers_find_the_same_neighbours_at_full_fanout() -> None:
    graph, _ = random_graph(9)
    seeds = torch.tensor([5, 40, 2])
    by_dgl, by_csr = (
        make_sampler(name, graph, dict.fromkeys(graph, NODES), 2, seed=0).sample(seeds)
        for name in ("dgl", "csr")
    )
    assert set(by_dgl.nodes.tolist()) == set(by_csr.nodes.tolist())
    for depth in range(2):
        for name in graph:
            found = [
                dict(zip(block.nodes.tolist(), map(sorted, chosen(block, depth, name)), strict=False))
                for block in (by_dgl, by_csr)
            ]
            assert found[0] == found[1]


def test_auto_is_dgl_where_it_is_installed() -> None:
    assert resolve_sampler("auto", torch.device("cpu")) == ("dgl" if HAS_DGL else "csr")
    assert resolve_sampler("auto", torch.device("meta")) == "csr"


@pytest.mark.parametrize("name", ["auto", "csr"])
def test_torch_samples_where_dgl_is_not_installed(name: SamplerName, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dgl", None)
    graph, _ = random_graph(3)
    assert isinstance(make_sampler(name, graph, dict.fromkeys(graph, 2), 1, 0), CsrSampler)


def test_dgl_that_is_asked_for_and_not_installed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dgl", None)
    graph, _ = random_graph(3)
    with pytest.raises(SettingsError, match="DGL is not installed") as caught:
        make_sampler("dgl", graph, dict.fromkeys(graph, 2), 1, 0)
    assert "auto or csr" in caught.value.hint


def test_dgl_that_cannot_be_imported_is_an_error_and_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dgl.py").write_text("raise OSError('libgomp.so.1 is missing')")
    for name in [name for name in sys.modules if name.partition(".")[0] == "dgl"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "twinvec.nn.sampling.dgl", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    graph, _ = random_graph(3)
    with pytest.raises(SettingsError, match=r"cannot be imported: libgomp.so.1 is missing"):
        make_sampler("auto", graph, dict.fromkeys(graph, 2), 1, 0)

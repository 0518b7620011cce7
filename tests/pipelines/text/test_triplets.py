"""Mining, against the rules read literally."""

from __future__ import annotations

import random
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from pipelines.text.coviews import open_coviewed, write_coviewed
from pipelines.text.triplets import SOURCES, count_pairs, mine, open_graph, write_epochs
from twinvec.catalogue.snapshot import Snapshot
from twinvec.settings.pipelines import TextTraining

PRODUCTS = 40
LEAST = 3


@dataclass
class World:
    """A random graph, and what the rules say of it."""

    snapshot: Snapshot
    folder: Path
    titles: list[dict[str, str] | None]
    categories: list[list[str]]
    texts: list[str | None]
    viewed: Counter[tuple[int, int]]
    held_out: set[tuple[int, int]]
    bought: dict[int, set[int]]

    def connect(self) -> Any:
        return open_graph(self.snapshot, self.folder, LEAST, "1GB")

    def fits(self, anchor: int, positive: int, other: int) -> bool:
        return self.texts[other] not in (None, self.texts[anchor], self.texts[positive])

    def unrelated(self, anchor: int, positive: int, other: int) -> bool:
        return self.fits(anchor, positive, other) and (anchor, other) not in self.viewed

    def hard(self, anchor: int, positive: int, other: int) -> bool:
        count = self.viewed[anchor, other]
        return self.fits(anchor, positive, other) and LEAST <= count < self.viewed[anchor, positive]


@pytest.fixture
def world(
    snapshot_of: Callable[..., Snapshot], write_graph: Callable[..., Any], request: pytest.FixtureRequest
) -> World:
    draw = random.Random(request.param)
    names = [f"p{number:02}" for number in range(PRODUCTS)]
    paths = [["Shop", draw.choice("ABC")] if draw.random() < 0.8 else [] for _ in names]
    titles: list[dict[str, str] | None] = [
        {language: f"{name} in {language}" for language in ("en", "es", "pt") if draw.random() < 0.6} or None
        for name in names
    ]
    titles[1], paths[1] = titles[0], paths[0]  # one text, two products
    snapshot = snapshot_of(**{name: (titles[i], paths[i]) for i, name in enumerate(names)})
    pairs = [(a, b) for a in range(PRODUCTS) for b in range(PRODUCTS) if a < b]
    coview = []
    for a, b in draw.sample(pairs, 90):
        split = draw.choice((0, 0, 0, 0, 1, 2))
        both = draw.choice((1, 2, 3))
        coview += [(a, b, draw.randint(1, 6), split)] * (both & 1)
        coview += [(b, a, draw.randint(1, 6), split)] * (both >> 1)
    copurchase = [(*draw.sample(pair, 2), 1, draw.choice((0, 0, 1, 2))) for pair in draw.sample(pairs, 60)]
    graph = write_graph(names, [" > ".join(path) or None for path in paths], sorted(coview), copurchase)
    texts = []
    for title, path in zip(titles, paths, strict=True):
        chosen = [title.get("en", title[min(title)])] if title else []
        texts.append(": ".join([" > ".join(path)] * bool(path) + chosen) or None)
    viewed: Counter[tuple[int, int]] = Counter()
    for a, b, count, split in coview:
        if split == 0 and texts[a] and texts[b]:
            viewed[a, b] += count
            viewed[b, a] += count
    bought = defaultdict(set)
    for a, b, _, split in copurchase:
        if split == 0:
            bought[a].add(b)
            bought[b].add(a)
    held_out = {pair for a, b, _, split in coview if split for pair in ((a, b), (b, a))}
    return World(snapshot, graph.folder, titles, paths, texts, viewed, held_out, bought)


def mined(world: World, scheme: str, epoch: int, **options: Any) -> list[list[int]]:
    with world.connect() as connection:
        mine(connection, scheme, TextTraining(min_hard_count=LEAST, **options), 7, epoch)
        return [row for (row,) in connection.execute("SELECT products FROM triplet ORDER BY row").fetchall()]


@pytest.mark.parametrize("world", range(6), indirect=True)
@pytest.mark.parametrize("scheme", SOURCES)
def test_negatives_are_what_the_scheme_says(world: World, scheme: str) -> None:
    parts = len(SOURCES[scheme])
    rows = [row for epoch in range(3) for row in mined(world, scheme, epoch, negatives=parts)]
    assert rows
    for anchor, positive, *negatives in rows:
        assert (anchor, positive) in world.viewed
        assert len(negatives) == parts
        for other in negatives:
            allowed = world.unrelated(anchor, positive, other)
            if scheme.startswith("coview"):
                allowed |= world.hard(anchor, positive, other)
            assert allowed, (anchor, positive, other)
        # Where all that a source has will do, one of the negatives comes from it.
        pools = {
            "copurchase": {
                n for n in world.bought[anchor] if world.texts[n] and (anchor, n) not in world.viewed
            },
            "category": {
                n
                for n in range(PRODUCTS)
                if world.categories[n] == world.categories[anchor] != [] and world.texts[n]
            },
            "hard": {
                n
                for n in range(PRODUCTS)
                if LEAST <= world.viewed[anchor, n] < world.viewed[anchor, positive]
            },
        }
        for source in {chain[0] for chain in SOURCES[scheme]} - {"random"}:
            will_do = world.hard if source == "hard" else world.unrelated
            pool = pools[source]
            if pool and all(will_do(anchor, positive, n) for n in pool):
                assert pool & {*negatives}, source


@pytest.mark.parametrize("world", range(2), indirect=True)
def test_an_epoch_has_each_pair_once_and_its_own_order_and_negatives(world: World) -> None:
    first, again, second = (mined(world, "coview", epoch) for epoch in (0, 0, 1))
    assert first == again
    pairs = [[frozenset(row[:2]) for row in rows] for rows in (first, second)]
    assert len({*pairs[0]}) == len(pairs[0]) == len(world.viewed) // 2
    assert {*pairs[0]} == {*pairs[1]}
    assert pairs[0] != pairs[1]
    negatives = [{frozenset(row[:2]): row[2:] for row in rows} for rows in (first, second)]
    assert negatives[0] != negatives[1]
    turned = Counter(anchor < positive for anchor, positive, *_ in first + second)
    assert min(turned.values()) > len(first) / 2
    with world.connect() as connection:
        assert count_pairs(connection) == len(world.viewed) // 2


@pytest.mark.parametrize("world", [0], indirect=True)
def test_pairs_beyond_the_bound_take_their_turn(world: World) -> None:
    total = len(world.viewed) // 2
    epochs = [mined(world, "category", epoch, pairs=7) for epoch in range(-(-total // 7))]
    assert all(len(rows) == 7 for rows in epochs)
    assert len({frozenset(row[:2]) for rows in epochs for row in rows}) == total


@pytest.mark.parametrize("world", [0], indirect=True)
def test_what_is_held_out_is_not_trained_on_and_not_spared_either(world: World) -> None:
    rows = [row for epoch in range(20) for row in mined(world, "category", epoch)]
    assert world.held_out.isdisjoint((anchor, positive) for anchor, positive, *_ in rows)
    assert not world.held_out.isdisjoint((row[0], other) for row in rows for other in row[2:])


@pytest.mark.parametrize("world", [1], indirect=True)
def test_epochs_are_written_as_texts_some_of_them_translated(world: World, tmp_path: Path) -> None:
    options = TextTraining(min_hard_count=LEAST, epochs=12, negatives=3, translated=0.2)
    shares = {}
    for scheme in ("coview", "coview-ml"):
        target = tmp_path / f"{scheme}.arrow"
        with world.connect() as connection:
            write_epochs(connection, scheme, options, 7, target)
        rows = pa.ipc.open_stream(target).read_all().to_pylist()
        assert [row["label"][:5] for row in rows] == [
            row for epoch in range(12) for row in mined(world, scheme, epoch, negatives=3)
        ]
        translated = translatable = 0
        for row in rows:
            products, wordings = row["label"][:5], row["label"][5:]
            for text, node, wording in zip([*row.values()][:-1], products, wordings, strict=True):
                assert wording == world.texts.index(world.texts[node])
                title, path = world.titles[node] or {}, " > ".join(world.categories[node])
                possible = {": ".join([path] * bool(path) + [each]) for each in title.values()}
                assert text in (possible or {world.texts[node]})
                translatable += len(possible) > 1
                translated += text != world.texts[node]
        shares[scheme] = translated / translatable
    assert shares["coview"] == 0
    assert shares["coview-ml"] == pytest.approx(0.2, abs=0.04)


def test_a_graph_without_coviews_or_negatives_gives_no_triplets(
    snapshot_of: Callable[..., Snapshot], write_graph: Callable[..., Any], tmp_path: Path
) -> None:
    snapshot = snapshot_of(a=({"en": "one"}, []), b=({"en": "two"}, []))
    for coview, pairs in (([], 0), ([(0, 1, 4, 0)], 1)):
        graph = write_graph(["a", "b"], [None, None], coview, [])
        with open_graph(snapshot, graph.folder, LEAST, "1GB") as connection:
            assert count_pairs(connection) == pairs
            write_epochs(connection, "coview", TextTraining(), 0, tmp_path / "none.arrow")
        assert pa.ipc.open_stream(tmp_path / "none.arrow").read_all().num_rows == 0


@pytest.mark.parametrize("world", [3], indirect=True)
def test_coviewed_pairs_are_found_on_disk(world: World, tmp_path: Path) -> None:
    with world.connect() as connection:
        write_coviewed(connection, tmp_path / "coviewed")
    coviewed = open_coviewed(tmp_path / "coviewed", PRODUCTS)
    if sys.platform == "linux":
        assert str(tmp_path / "coviewed") in Path("/proc/self/maps").read_text()
    first, second = torch.arange(PRODUCTS), torch.arange(PRODUCTS).flip(0)
    expected = [[(a, b) in world.viewed for b in second.tolist()] for a in first.tolist()]
    assert coviewed.contains(first, second).tolist() == expected
    (tmp_path / "none").touch()
    assert not open_coviewed(tmp_path / "none", PRODUCTS).contains(first, second).any()

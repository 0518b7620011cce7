"""The space `aligned` on a planted catalogue, through the feature store and MLflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.alignment.pipeline import neighbours_of, sample_validation, train
from pipelines.graph.product_graph import Edges
from registry.models import Version
from twinvec.catalogue.ingest import ingest
from twinvec.columns import PRODUCTS
from twinvec.features.reading import read_vectors
from twinvec.progress import Progress
from twinvec.settings import AlignedSettings, Settings
from twinvec.stage import Inputs, Outcome, make_version
from twinvec.tracking import Run
from twinvec.workspace import Workspace

Floats = npt.NDArray[np.float32]
Align = Callable[..., tuple[Version, Floats, npt.NDArray[np.bool_]]]
GROUPS, SIZE = 30, 6
COUNT = GROUPS * SIZE
IDS = [f"p{number:03}" for number in range(COUNT)]


def edges(pairs: list[tuple[int, int]]) -> Edges:
    both = np.array(pairs, np.int64).reshape(-1, 2)
    return Edges(both[:, 0].copy(), both[:, 1].copy(), np.ones(len(both), np.int64))


def test_neighbours_are_symmetric_and_come_once() -> None:
    neighbours = neighbours_of(edges([(0, 1), (1, 0), (0, 1), (3, 1), (4, 3)]), 6)
    listed = np.split(neighbours.positions.numpy(), neighbours.offsets.numpy()[1:-1])
    assert [sorted(each.tolist()) for each in listed] == [[1], [0, 3], [], [1, 4], [3], []]
    none = neighbours_of(edges([]), 3)
    assert none.offsets.tolist() == [0, 0, 0, 0]
    assert none.positions.tolist() == []


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    folder = tmp_path_factory.mktemp("alignment")
    aligned = AlignedSettings(dimension=16, epochs=12, batch=64, patience=12, learning_rate=0.02)
    workspace = Workspace(Settings(home=folder / "home", device="cpu", aligned=aligned))
    rows = [{"product_id": name, "category": [], "marketplace": "us"} for name in IDS]
    (folder / "source").mkdir()
    pq.write_table(pa.Table.from_pylist(rows, PRODUCTS), folder / "source" / "products.parquet")
    ingest(folder / "source", "parquet", workspace.settings, workspace.engine)
    yield workspace
    workspace.engine.dispose()


@pytest.fixture
def align(workspace: Workspace) -> Align:
    """Train on these features (product → vector) and co-views; gives the version, its vectors and who has one."""

    def of(space: str, outcome: Outcome) -> Version:
        def make(_inputs: Inputs, _run: Run, _progress: Progress) -> Outcome:
            return outcome

        return make_version(Inputs(workspace, workspace.snapshot(), {}), space, "", {}, make, print)

    def vectors(space: str, features: dict[int, Floats]) -> Version:
        ids, stacked = [IDS[u] for u in features], np.stack([*features.values()])
        return of(space, Outcome(ids, {f"{space}_vector": stacked}, "cosine", False, "", ""))

    def call(
        coview: list[tuple[int, int]], options: AlignedSettings | None = None, **features: dict[int, Floats]
    ) -> tuple[Version, Floats, npt.NDArray[np.bool_]]:
        def write(folder: Path) -> None:
            pq.write_table(pa.table({"product_id": IDS}), folder / "nodes.parquet")
            for name, listed in (("copurchase", edges([])), ("coview", edges(coview))):
                columns = {"source": listed.source, "target": listed.target, "count": listed.count}
                # One in ten is for validation, and one for the test.
                split = np.isin(np.arange(len(listed)) % 10, [3, 7]) * (1 + np.arange(len(listed)) % 10 // 7)
                table = pa.table({**columns, "split": split.astype(np.int8)})
                pq.write_table(table, folder / f"{name}.parquet")

        graph = of("graph", Outcome((), {}, "dot", False, str(len(coview)), "", write=write))
        versions = {"graph": graph, **{space: vectors(space, given) for space, given in features.items()}}
        settings = workspace.settings.model_copy(update={"aligned": options or workspace.settings.aligned})
        inputs = Inputs(replace(workspace, settings=settings), workspace.snapshot(), versions)
        version = make_version(inputs, "aligned", "", {}, train, print)
        read = read_vectors(workspace.features, version, IDS)
        return version, read.only(), read.present

    return call


def planted(
    random: np.random.Generator,
) -> tuple[dict[int, Floats], dict[int, Floats], list[tuple[int, int]]]:
    """Products viewed together within groups, which a few of the features tell, and louder others hide."""
    group = np.repeat(np.arange(GROUPS), SIZE)
    told = random.standard_normal((GROUPS, 6))
    text, image = (
        np.concatenate(
            [told[group] + 0.1 * random.standard_normal((COUNT, 6)), 2 * random.standard_normal((COUNT, 10))],
            axis=1,
        ).astype(np.float32)
        for _ in range(2)
    )
    views = [
        (int(a), int(b))
        for a in range(COUNT)
        for b in range(a + 1, COUNT)
        if group[a] == group[b] and random.random() < 0.4
    ]
    return dict(enumerate(text)), dict(enumerate(image)), views


def test_training_finds_held_out_co_views_of_a_planted_catalogue(align: Align) -> None:
    text, image, views = planted(np.random.default_rng(7))
    version, vectors, present = align(views, text=text, image=image)
    assert version.metrics["validation_mrr_at_10"] > version.metrics["untrained_mrr_at_10"] + 0.1
    assert version.metrics["coverage"] == 1.0
    assert present.all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert (version.dimension, version.rows) == (16, COUNT)
    assert set(version.manifest["inputs"]) == {parent.name for parent in version.inputs}
    assert {parent.space for parent in version.inputs} == {"graph", "text", "image"}


def test_validation_is_bounded(workspace: Workspace) -> None:
    random = np.random.default_rng()
    pairs = np.unique(np.sort(random.integers(0, COUNT, (200, 2))), axis=0)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    held_out, training = (edges([(int(a), int(b)) for a, b in part]) for part in (pairs[::2], pairs[1::2]))
    embeddable = random.random(COUNT) < 0.9
    embeddable[np.concatenate(held_out.ends)] = True
    options = AlignedSettings(validation_pairs=7, validation_products=40)
    sample = sample_validation(held_out, training, embeddable, options, 3)
    assert len(sample.pairs[0]) == 7
    assert len(sample.products) == 40
    assert embeddable[sample.products].all()
    chosen = set(zip(*(sample.products[end].tolist() for end in sample.pairs), strict=True))
    assert chosen <= set(zip(*(end.tolist() for end in held_out.ends), strict=True))
    known = {(sample.products[a], sample.products[b]) for a, b in zip(*sample.seen.nonzero(), strict=True)}
    inside = np.isin(np.stack(training.ends), sample.products).all(0)
    assert known == set(zip(training.source[inside].tolist(), training.target[inside].tolist(), strict=True))
    everything = sample_validation(held_out, training, embeddable, AlignedSettings(), 3)
    np.testing.assert_array_equal(everything.products, np.flatnonzero(embeddable))
    assert len(everything.pairs[0]) == len(held_out)


def test_an_epoch_has_so_many_pairs_and_the_vectors_are_the_same_again(
    align: Align, workspace: Workspace
) -> None:
    text, image, views = planted(np.random.default_rng(7))
    options = workspace.settings.aligned.model_copy(update={"pairs": 100, "epochs": 3})
    version, vectors, _ = align(views, options, text=text, image=image)
    _, again, _ = align(views, options, text=text, image=image)
    np.testing.assert_array_equal(vectors, again)
    assert version.metrics["validation_mrr_at_10"] > version.metrics["untrained_mrr_at_10"]


def test_a_product_with_neither_is_absent_and_tells_its_neighbours_nothing(align: Align) -> None:
    random = np.random.default_rng(8)
    text, image, views = planted(random)
    nothing = {2, 50, COUNT - 1}
    # All others have a text, some no image, so nothing is ever learned for a product without both.
    some = {u: vector for u, vector in text.items() if u not in nothing}
    seen = {u: vector for u, vector in image.items() if u not in nothing and u % 3}
    between = [(a, b) for a, b in views if not nothing & {a, b}]
    to_nothing = [(u, v) for u in nothing for v in range(10, 30) if u != v]
    version, vectors, present = align(between + to_nothing, text=some, image=seen)
    assert set(np.flatnonzero(~present)) == nothing
    assert version.metrics["coverage"] == pytest.approx(1 - 3 / COUNT)
    assert version.metrics["with_image"] == pytest.approx(len(seen) / COUNT)
    _, without, _ = align(between, text=some, image=seen)
    np.testing.assert_array_equal(vectors, without)


def test_no_image_at_all_and_no_co_view_at_all_are_no_obstacle(align: Align) -> None:
    text, image, views = planted(np.random.default_rng(9))
    only_text, _, present = align(views, text=text)
    assert present.all()
    assert only_text.metrics["with_image"] == 0
    assert only_text.metrics["validation_mrr_at_10"] > only_text.metrics["untrained_mrr_at_10"]

    unseen, vectors, present = align([], text=text, image=image)
    assert present.all()
    assert unseen.metrics["validation_mrr_at_10"] == 0
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)

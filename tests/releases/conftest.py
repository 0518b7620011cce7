"""A small real world: a synthetic store, its snapshot, and `related` versions of random vectors, not trained.

Session-wide, since its Feast and MLflow take most of a minute; a test gets a copy of its home.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
import torch
from qdrant_client import QdrantClient

from pipelines.outline import Inputs, Outcome, Progress, make_version
from registry.models import Version
from twinvec import releases
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.synthetic.store import generate
from twinvec.features.manifest import vector_fields
from twinvec.settings import Settings
from twinvec.tracking import Run
from twinvec.vectors.server import ServerIndex
from twinvec.workspace import Workspace

DIMENSION = 12
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class World:
    """A home, two related versions of one snapshot, and what their vectors are."""

    workspace: Workspace
    products: dict[str, list[object]]
    versions: tuple[Version, ...]
    vectors: tuple[tuple[Floats, Floats], ...]

    def best(self, version: int, product_id: str, k: int, allowed: npt.NDArray[np.bool_]) -> list[str]:
        """By brute force: the ids of the k best allowed targets of a product's source."""
        ids = self.products["product_id"]
        row = ids.index(product_id)
        source, target = self.vectors[version]
        scores = np.where(allowed & (np.arange(len(ids)) != row), target @ source[row], -np.inf)
        order = np.argsort(-scores)[:k]
        return [str(ids[i]) for i in order if np.isfinite(scores[i])]

    def copied(self, folder: Path) -> None:
        """Copy the home."""
        shutil.copytree(self.workspace.settings.home, folder)


def random_vectors(size: int, seed: int) -> tuple[Floats, Floats]:
    random = np.random.default_rng(seed)
    return tuple(random.standard_normal((size, DIMENSION)).astype(np.float32) for _ in range(2))  # type: ignore[return-value]


def make(
    workspace: Workspace,
    space: str,
    keys: list[str],
    seed: int,
    *inputs: Version,
    model: bool = True,
    vectors: tuple[Floats, Floats] | None = None,
    parameters: Mapping[str, object] | None = None,
    write: Callable[[Path], None] = lambda _folder: None,
) -> Version:
    """A version through the outline of the pipelines, with an MLflow run, perhaps a model, files and Feast.

    Of the snapshot of its inputs, or the latest; its vectors are random unless given.
    """
    given = {version.space: version for version in inputs}
    snapshot = workspace.snapshot(inputs[0].snapshot_id if inputs else None)

    def train(_inputs: Inputs, run: Run, _progress: Progress) -> Outcome:
        kept = random_vectors(len(keys), seed) if vectors is None else vectors
        example = {"features": torch.zeros(2, DIMENSION)}
        log = partial(run.log_model, torch.nn.Linear(DIMENSION, 2), example) if model else None
        fields = dict(zip(vector_fields(space), kept, strict=False))
        return Outcome(
            keys,
            fields,
            "dot",
            False,
            f"{seed:016d}",
            "0",
            metrics={"mrr_at_10": 0.25},
            log_model=log,
            write=write,
        )

    return make_version(
        Inputs(workspace, snapshot, given), space, f"{space}{seed}", parameters or {}, train, print
    )


@pytest.fixture(scope="session")
def make_any() -> Callable[..., Version]:
    """`make`, for tests in other files."""
    return make


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    workspace = Workspace(Settings(home=folder / "home"))
    generate(folder / "store", 300, seed=5, images=False)
    report = ingest(folder / "store", "parquet", workspace.settings, workspace.engine)
    table = pq.read_table(report.snapshot.table("products"))
    products = table.to_pydict()
    keys = products["product_id"]
    text = make(workspace, "text", keys, 1)
    first = make(workspace, "related", keys, 2, text)
    newer_text = make(workspace, "text", keys, 3, model=False)
    second = make(workspace, "related", keys, 4, newer_text)
    return World(
        workspace, products, (first, second), (random_vectors(len(keys), 2), random_vectors(len(keys), 4))
    )


@pytest.fixture(scope="session")
def released(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the first version's release is live and the second's is ready."""
    home = tmp_path_factory.mktemp("released") / "home"
    world.copied(home)
    workspace = Workspace(Settings(home=home))
    releases.promote(workspace, releases.publish(workspace, world.versions[0]))
    releases.publish(workspace, world.versions[1])
    workspace.index.close()
    workspace.engine.dispose()
    return home


@pytest.fixture
def workspace(world: World, tmp_path: Path) -> Iterator[Workspace]:
    """A copy of the world, without releases; its versions' files stay where they are."""
    world.copied(tmp_path / "home")
    yield from opened(tmp_path / "home")


@pytest.fixture
def served(released: Path, tmp_path: Path) -> Iterator[Workspace]:
    """A copy of the home in which release 1 is live and release 2 is ready."""
    shutil.copytree(released, tmp_path / "home")
    yield from opened(tmp_path / "home")


@pytest.fixture(params=["edge", "memory"])
def either(workspace: Workspace, request: pytest.FixtureRequest) -> Workspace:
    """The workspace over Qdrant Edge, or over the client's in-memory mode."""
    if request.param == "memory":
        vars(workspace)["index"] = ServerIndex(QdrantClient(":memory:"))  # where cached_property keeps it
    return workspace


def opened(home: Path) -> Iterator[Workspace]:
    workspace = Workspace(Settings(home=home))
    yield workspace
    workspace.index.close()
    workspace.engine.dispose()


@pytest.fixture
def make_version_of() -> Callable[[Workspace, list[str]], Version]:
    """Make a related version of these products."""
    return lambda workspace, keys: make(workspace, "related", keys, 9, model=False)

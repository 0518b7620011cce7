"""A small real world: a synthetic store, its snapshot, and `related` versions of random vectors, not trained.

Session-wide, since its Feast and MLflow take most of a minute; a test gets a copy of its home.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
import torch
from qdrant_client import QdrantClient
from sqlalchemy import func, insert, make_url, select

from registry import operations
from registry.database import migrate, open_engine, transaction
from registry.models import Base, Version
from tests.homes import built_once, copied, relocate, restore
from twinvec import releases
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.synthetic.store import generate
from twinvec.features.repository import feast_objects
from twinvec.features.store import materialize_release
from twinvec.progress import Progress
from twinvec.settings import QdrantSettings, Settings
from twinvec.spaces import find_space
from twinvec.stage import FROZEN, Inputs, Outcome, make_version, make_versions
from twinvec.tracking import Run
from twinvec.vectors.server import ServerIndex
from twinvec.workspace import Workspace

DIMENSION = 12
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class World:
    """A home, two related versions of one snapshot, and what their vectors are."""

    home: Path
    products: dict[str, list[object]]
    versions: tuple[Version, ...]
    vectors: tuple[tuple[Floats, Floats], ...]

    @cached_property
    def workspace(self) -> Workspace:
        return Workspace(Settings(home=self.home))

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
        copied(self.home, folder)


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
    frozen: Version | None = None,
) -> Version:
    """A version through the outline of the pipelines, with an MLflow run, perhaps a model, files and Feast.

    Of the snapshot of its inputs, or the latest; its vectors are random unless given, by the model of `frozen` if that
    is.
    """
    given = {version.space: version for version in inputs} | ({FROZEN: frozen} if frozen else {})
    snapshot = workspace.snapshot(inputs[0].snapshot_id if inputs else None)

    def train(_inputs: Inputs, run: Run, _progress: Progress) -> Outcome:
        kept = random_vectors(len(keys), seed) if vectors is None else vectors
        example = {"features": torch.zeros(2, DIMENSION)}
        log = partial(run.log_model, torch.nn.Linear(DIMENSION, 2), example) if model else None
        fields = dict(zip(find_space(space).fields, kept, strict=False))
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
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return built_once(tmp_path_factory, "world", build_world)


def build_world(folder: Path) -> World:
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
    workspace.engine.dispose()
    vectors = random_vectors(len(keys), 2), random_vectors(len(keys), 4)
    return World(workspace.settings.home, products, (first, second), vectors)


@pytest.fixture(scope="session")
def released(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the first version's release is live and the second's is ready."""
    return built_once(tmp_path_factory, "released", partial(build_released, world))


def build_released(world: World, folder: Path) -> Path:
    home = folder / "home"
    world.copied(home)
    workspace = Workspace(Settings(home=home))
    releases.promote(workspace, releases.publish(workspace, world.versions[0]))
    releases.publish(workspace, world.versions[1])
    workspace.index.close()
    workspace.engine.dispose()
    return home


def make_sellers(workspace: Workspace, keys: list[str], seed: int) -> Version:
    """A version of sellers and one of their candidates, of random vectors, with a model."""
    snapshot = workspace.snapshot()

    def train(_inputs: Inputs, run: Run, _progress: Progress) -> Mapping[str, Outcome]:
        products, sellers = random_vectors(len(keys), seed)
        example = {"below": torch.zeros(2, DIMENSION)}
        log = partial(run.log_model, torch.nn.Linear(DIMENSION, 2), example)
        common = Outcome(keys, {}, "dot", False, f"{seed:016d}", "0", {"recall_at_20": 0.5}, log)
        names = [f"seller {number}" for number in range(40)]
        return {
            "seller_products": replace(common, vectors={"seller_products_vector": products}),
            "sellers": replace(
                common, keys=names, vectors={"sellers_vector": sellers[:40]}, entity="seller_id"
            ),
        }

    names = ["seller_products", "sellers"]
    inputs = Inputs(workspace, snapshot, {"text": workspace.version("text@v1")})
    return make_versions(inputs, names, f"sellers{seed}", {}, train, print)["sellers"]


@pytest.fixture(scope="session")
def seller_home(world: World, released: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of `released`, in which sellers have a live release and one that is ready, too."""
    return built_once(tmp_path_factory, "sellers", partial(build_seller_home, world, released))


def build_seller_home(world: World, released: Path, folder: Path) -> Path:
    home = folder / "home"
    copied(released, home)
    workspace = Workspace(Settings(home=home))
    keys = [str(key) for key in world.products["product_id"]]
    first, second = (make_sellers(workspace, keys, seed) for seed in (11, 12))
    releases.promote(workspace, releases.publish(workspace, first))
    releases.publish(workspace, second)
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
    copied(released, tmp_path / "home")
    yield from opened(tmp_path / "home")


@pytest.fixture(params=["edge", "memory"])
def either(workspace: Workspace, request: pytest.FixtureRequest) -> Workspace:
    """The workspace over Qdrant Edge, or over the client's in-memory mode."""
    if request.param == "memory":
        vars(workspace)["index"] = ServerIndex(QdrantClient(":memory:"))  # where cached_property keeps it
    return workspace


def opened(home: Path) -> Iterator[Workspace]:
    workspace = Workspace(Settings(home=home, qdrant=QdrantSettings(verify_sample=20)))
    yield workspace
    workspace.index.close()
    workspace.engine.dispose()


@pytest.fixture
def make_version_of() -> Callable[[Workspace, list[str]], Version]:
    """Make a related version of these products."""
    return lambda workspace, keys: make(workspace, "related", keys, 9, model=False)


@pytest.fixture(scope="session")
def make_any() -> Callable[..., Version]:
    """`make`, for tests in other files."""
    return make


@pytest.fixture
def relocate_home() -> Callable[[Path, Path], None]:
    """`relocate`, for tests in other files."""
    return relocate


@pytest.fixture(scope="session")
def aged(world: World, released: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A home with all of its files in it, and a copy to begin anew from: four releases, 4 live and 3 before it.

    related@v1 and @v4 were made from text@v1, @v2 from text@v2, @v3 from text@v3; release n is of related@vn.
    """
    home = tmp_path_factory.mktemp("aged") / "home"
    copied(released, home)
    relocate(home, world.workspace.settings.home)
    workspace = Workspace(Settings(home=home))
    keys = [str(key) for key in world.products["product_id"]]
    with transaction(workspace.engine) as session:
        oldest = operations.find_version(session, "text@v1")
    assert oldest is not None
    newest = make(workspace, "text", keys, 5, model=False)
    third = make(workspace, "related", keys, 6, newest, model=False)
    fourth = make(workspace, "related", keys, 7, oldest, model=False)
    for version in (third, fourth):
        releases.publish(workspace, version)
    for number in ("2", "3", "4"):
        releases.promote(workspace, releases.find(workspace, number), force=True)
    workspace.index.close()
    workspace.engine.dispose()
    return home, copied(home, home.with_name("backup"))


@pytest.fixture
def old(aged: tuple[Path, Path]) -> Iterator[Workspace]:
    """The home with four releases, as it was."""
    home, backup = aged
    restore(home, backup)
    yield from opened(home)


@pytest.fixture
def restore_home() -> Callable[[Path, Path], None]:
    """`restore`, for tests in other files."""
    return restore


@pytest.fixture
def on_postgres(
    aged: tuple[Path, Path], emptied_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workspace]:
    """The home with four releases, with the registry, Feast's registry and its online store on PostgreSQL."""
    home, backup = aged
    restore(home, backup)
    url = make_url(emptied_postgres)
    values = {
        "HOST": url.query.get("host", url.host),
        "PORT": url.port or 5432,
        "DATABASE": url.database,
        "USER": url.username,
        "PASSWORD": url.password or "unused",
        "SSLMODE": "disable",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"FEAST_POSTGRES_{name}", str(value))
    monkeypatch.setenv("TWINVEC_REGISTRY__URL", emptied_postgres)
    monkeypatch.setenv(
        "TWINVEC_FEAST__CONFIG",
        str(Path(__file__).parents[2] / "feature_repo" / "feature_store.production.yaml"),
    )
    monkeypatch.setenv("TWINVEC_HOME", str(home))
    copy_registry(f"sqlite:///{home / 'registry.db'}", emptied_postgres)
    for file in (home / "registry.db", home / "feast" / "registry.db", home / "feast" / "online.db"):
        file.unlink()
    workspace = Workspace(Settings(qdrant=QdrantSettings(verify_sample=20)))
    workspace.features.apply(list(feast_objects(workspace.settings)))
    for number in ("1", "2", "3", "4"):
        materialize_release(workspace.features, releases.find(workspace, number))
    yield workspace
    workspace.index.close()
    workspace.engine.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def anywhere(request: pytest.FixtureRequest) -> Workspace:
    """The home with four releases, on SQLite or on PostgreSQL."""
    name = "old" if request.param == "sqlite" else "on_postgres"
    workspace: Workspace = request.getfixturevalue(name)
    return workspace


def copy_registry(source: str, target: str) -> None:
    """Copy all rows of a registry into an empty database."""
    reading, writing = open_engine(source), open_engine(target)
    migrate(writing)
    with reading.connect() as from_, writing.begin() as to:
        for table in Base.metadata.sorted_tables:
            rows = [dict(row) for row in from_.execute(select(table)).mappings()]
            if rows:
                to.execute(insert(table), rows)
            if rows and isinstance(rows[0].get("id"), int):
                sequence = func.pg_get_serial_sequence(table.name, "id")
                to.execute(select(func.setval(sequence, max(row["id"] for row in rows))))
    reading.dispose()
    writing.dispose()

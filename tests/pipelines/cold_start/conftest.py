"""A small shop whose first release is live, and whose second has images of another size and ranks new products."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from registry.models import Version
from tests.homes import built_once, copied
from twinvec import dag, releases
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.synthetic.store import generate
from twinvec.features.reading import read_vectors
from twinvec.settings import Settings
from twinvec.workspace import Workspace

SIZES = (32, 16)


def small(home: Path, size: int) -> Settings:
    """Small settings, with encoders that are not trained."""
    groups: dict[str, Any] = {
        "category": {"epochs": 50},
        "text": {"scheme": "pretrained"},
        "image": {"model": "vit_small_untrained", "size": size, "dimension": 32},
        "aligned": {"dimension": 64, "epochs": 3},
        "related": {"dimension": 32, "twinvec": {"epochs": 4}},
        "ranking": {"trees": 30, "cold": "on" if size == SIZES[1] else "off"},
    }
    return Settings(home=home, device="cpu", **groups)


@dataclass(frozen=True)
class Shop:
    """A home, its products, and the versions of its two releases.

    Attributes:
        home: Home where release 1 is live and release 2 is ready.
        store: Folder of the source.
        products: Column → values, in the order of the snapshot.
        versions: Versions of each release, space → version.
    """

    home: Path
    store: Path
    products: dict[str, list[Any]]
    versions: tuple[dict[str, Version], ...]

    def vectors(self, workspace: Workspace, release: int, space: str) -> tuple[Any, ...]:
        """Fields of a version in the order of the products, and which products it has."""
        read = read_vectors(
            workspace.features, self.versions[release - 1][space], self.products["product_id"]
        )
        return *read.fields.values(), read.present


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return built_once(tmp_path_factory, "cold", build_shop)


def build_shop(folder: Path) -> Shop:
    generate(folder / "store", 300, seed=11, images=True)
    made = []
    for size in SIZES:
        workspace = Workspace(small(folder / "home", size))
        snapshot = ingest(folder / "store", "parquet", workspace.settings, workspace.engine).snapshot
        steps = dag.run(workspace, snapshot)
        made.append({step.space: step.version for step in steps if step.version})
        release = releases.publish(workspace, made[-1]["related"])
        if size == SIZES[0]:
            releases.promote(workspace, release)
        workspace.index.close()
        workspace.engine.dispose()
    products = pq.read_table(snapshot.table("products")).to_pydict()
    return Shop(folder / "home", folder / "store", products, tuple(made))


@pytest.fixture
def workspace(shop: Shop, tmp_path: Path) -> Iterator[Workspace]:
    """A copy of the home, under settings of another image size than either release's."""
    copied(shop.home, tmp_path / "home")
    workspace = Workspace(small(tmp_path / "home", 64))
    yield workspace
    workspace.index.close()
    workspace.engine.dispose()

"""Two snapshots that share most products, and two versions of each of two spaces, with vectors made to a plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from registry.models import Version
from tests.homes import built_once, copied
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.snapshot import Snapshot
from twinvec.columns import PRODUCTS
from twinvec.settings import Settings
from twinvec.spaces import find_space
from twinvec.stage import Inputs, Outcome, make_version
from twinvec.workspace import Workspace

Floats = npt.NDArray[np.float32]
SEED = 20_266
DIMENSION = 6
# Of 320 products in all, 20 are gone from the second snapshot and 20 are new in it.
OLD, NEW = [[f"p{number:03}" for number in numbers] for numbers in (range(300), range(20, 320))]


@dataclass(frozen=True)
class Plan:
    """Contents of the versions: `related` turned by `rotation` and shaken a little; `text` of 8 and of 5 numbers."""

    home: Path
    rotation: Floats
    old: tuple[Floats, Floats]
    new: tuple[Floats, Floats]
    text: tuple[Floats, Floats]


def make(
    workspace: Workspace, snapshot: Snapshot, space: str, keys: list[str], arrays: Sequence[Floats]
) -> Version:
    outcome = Outcome(
        keys,
        dict(zip(find_space(space).fields, arrays, strict=True)),
        "dot" if space == "related" else "cosine",
        space != "related",
        "0",
        "0",
    )
    return make_version(
        Inputs(workspace, snapshot, {}), space, f"{space}{snapshot.id}"[:16], {}, lambda *_: outcome, print
    )


@pytest.fixture(scope="session")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return built_once(tmp_path_factory, "versions", build_plan)


def build_plan(folder: Path) -> Plan:
    workspace = Workspace(Settings(home=folder / "home"))
    random = np.random.default_rng(SEED)

    def normal(rows: int, columns: int) -> Floats:
        return random.standard_normal((rows, columns)).astype(np.float32)

    rotation = np.linalg.qr(normal(DIMENSION, DIMENSION))[0]
    everything = normal(320, DIMENSION), normal(320, DIMENSION)
    old = everything[0][:300], everything[1][:300]
    new = tuple(
        (each[20:] @ rotation + 0.05 * normal(300, DIMENSION)).astype(np.float32) for each in everything
    )
    text = normal(300, 8)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    later = np.concatenate([text[20:, :5], normal(20, 5)])
    later /= np.linalg.norm(later, axis=1, keepdims=True)
    for name, ids, related, texts in (("first", OLD, old, text), ("second", NEW, new, later)):
        source = folder / name
        source.mkdir()
        rows = [
            {
                "product_id": key,
                "category": [],
                "marketplace": "us",
                # Every fifth has a title; of the second snapshot, every tenth an image.
                "title": [("en", key)] if place % 5 == 0 else None,
                "image": f"{key}.png" if name == "second" and place % 10 == 0 else None,
            }
            for place, key in enumerate(ids)
        ]
        pq.write_table(pa.Table.from_pylist(rows, PRODUCTS), source / "products.parquet")
        snapshot = ingest(source, "parquet", workspace.settings, workspace.engine).snapshot
        make(workspace, snapshot, "related", ids, related)
        make(workspace, snapshot, "text", ids, [texts])
    workspace.engine.dispose()
    return Plan(workspace.settings.home, rotation, old, (new[0], new[1]), (text, later))


@pytest.fixture
def workspace(plan: Plan, tmp_path: Path) -> Iterator[Workspace]:
    """A copy of the home; the versions' files stay where they are."""
    copied(plan.home, tmp_path / "home")
    workspace = Workspace(Settings(home=tmp_path / "home"))
    yield workspace
    workspace.engine.dispose()

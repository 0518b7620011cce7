from __future__ import annotations

from pathlib import Path

import numpy as np

from twinvec.settings import Settings
from twinvec.vectors import CollectionConfig, make_points
from twinvec.workspace import Workspace


def test_a_closed_workspace_releases_its_stores_and_opens_them_again(tmp_path: Path) -> None:
    workspace = Workspace(Settings(home=tmp_path))
    engine, index = workspace.engine, workspace.index
    index.create("shop__v1", CollectionConfig(4, 4, 8, 10))
    vectors = np.eye(4, dtype=np.float32)[:1]
    index.insert(
        "shop__v1",
        make_points(
            product_id=["p"],
            marketplace=["us"],
            title=[None],
            category=[[]],
            price=[None],
            release="shop",
            source=vectors,
            target=vectors,
        ),
    )
    workspace.close()
    workspace.close()  # nothing is open
    assert workspace.engine is not engine
    # Were the writer's lock still held, another index could not open the collection.
    assert workspace.index is not index
    assert workspace.index.count("shop__v1") == 1
    workspace.close()

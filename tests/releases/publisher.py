"""Publishing in a process that may die at a step."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qdrant_client import QdrantClient

from twinvec import releases
from twinvec.features import store
from twinvec.releases import publishing
from twinvec.settings import QdrantSettings, Settings
from twinvec.vectors import edge, server
from twinvec.workspace import Workspace

DIED = 77
# A graph is built of a few hundred products too, from several batches.
QDRANT = QdrantSettings(full_scan_threshold=1, batch=64, verify_sample=8)


def open_home(home: Path, engine: str, **qdrant: Any) -> Workspace:
    """A home over Edge, or over the engine of qdrant-client's in-memory mode, kept in a folder."""
    workspace = Workspace(Settings(home=home, qdrant=QDRANT.model_copy(update=qdrant)))
    if engine == "local":
        vars(workspace)["index"] = server.ServerIndex(QdrantClient(path=str(home / "local")))
    return workspace


def die_at(step: str, engine: str) -> None:
    """Let this process end, without any cleaning up, at a step of a publish."""
    index: Any = edge.EdgeIndex if engine == "edge" else server.ServerIndex
    places: dict[str, tuple[Any, str, str, int]] = {
        "begun": (index, "create", "before", 1),
        "collection created": (edge, "create_shard", "after", 1)
        if engine == "edge"
        else (QdrantClient, "create_payload_index", "before", 1),
        "payload indexes created": (index, "create", "after", 1),
        "upload begun": (index, "insert", "before", 1),
        "half uploaded": (index, "insert", "after", 3),
        "uploaded": (index, "build", "before", 1),
        "building": (index, "build", "within", 1),
        "built": (index, "build", "after", 1),
        "another built": (index, "build", "after", 2),
        "reading back": (index, "pages", "before", 1),
        "verified": (publishing, "_require_same_answers", "before", 1),
        "before the service": (store, "apply_release", "before", 1),
        "before the commit": (store, "apply_release", "after", 1),
        "after the commit": (releases, "publish", "after", 1),
    }
    owner, name, when, wanted = places[step]
    original: Callable[..., Any] = getattr(owner, name)
    calls = itertools.count(1)

    def hooked(*arguments: Any, **named: Any) -> Any:
        now = next(calls) == wanted
        if now and when == "before":
            os._exit(DIED)
        if now and when == "within":  # the signal's default ends the process, wherever it is
            signal.setitimer(signal.ITIMER_REAL, 0.004 if engine == "edge" else 0.1)
        result = original(*arguments, **named)
        if now:
            os._exit(DIED)
        return result

    setattr(owner, name, hooked)


def publish(home: str, engine: str, version: str, die: str | None = None, **qdrant: Any) -> None:
    """Publish a version, or die at a step of it; `qdrant` are settings that differ."""
    if die is not None:
        die_at(die, engine)
    workspace = open_home(Path(home), engine, **qdrant)
    releases.publish(workspace, workspace.version(version))
    workspace.index.close()
    workspace.engine.dispose()


def make_sellers(home: str, seed: int) -> str:
    """Make another version of sellers; returns its name."""
    from tests.releases import conftest

    workspace = Workspace(Settings(home=Path(home)))
    with workspace.snapshot().connect() as connection:
        keys = [
            key for (key,) in connection.execute("SELECT product_id FROM products ORDER BY ALL").fetchall()
        ]
    name = conftest.make_sellers(workspace, keys, seed).name
    workspace.close()
    return name

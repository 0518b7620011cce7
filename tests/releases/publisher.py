"""Publishes versions, each time in a process of its own that may die at a step; prints how it ended.

A line of JSON in, `{"home": …, "engine": "edge", "version": "related@v2", "die": "built"}`, and its exit status out.
The processes are forked from this one, which has only imported: imports take seconds.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import feast.infra.offline_stores.duckdb
import feast.infra.online_stores.sqlite
import feast.infra.registry.sql  # noqa: F401
from qdrant_client import QdrantClient

from twinvec import releases
from twinvec.features import store
from twinvec.releases import publishing
from twinvec.settings import QdrantSettings, Settings
from twinvec.vectors import edge, server
from twinvec.workspace import Workspace

DIED = 77
# A graph is built of a few hundred products too, from several batches.
QDRANT = QdrantSettings(full_scan_threshold=1, batch=64, verify_sample=40)


def open_home(home: Path, engine: str) -> Workspace:
    """A home over Edge, or over the engine of qdrant-client's in-memory mode, kept in a folder."""
    workspace = Workspace(Settings(home=home, qdrant=QDRANT))
    if engine == "local":
        vars(workspace)["index"] = server.ServerIndex(QdrantClient(path=str(home / "local")))
    return workspace


def die_at(step: str, engine: str) -> None:
    """Let this process end, without any cleaning up, at a step of a publish."""
    index: Any = edge.EdgeIndex if engine == "edge" else server.ServerIndex
    places: dict[str, tuple[Any, str, str, int]] = {
        "begun": (index, "create", "before", 1),
        "collection created": (edge, "_create_shard", "after", 1)
        if engine == "edge"
        else (QdrantClient, "create_payload_index", "before", 1),
        "payload indexes created": (index, "create", "after", 1),
        "upload begun": (index, "insert", "before", 1),
        "half uploaded": (index, "insert", "after", 3),
        "uploaded": (index, "build", "before", 1),
        "building": (index, "build", "within", 1),
        "built": (index, "build", "after", 1),
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


def publish(home: Path, engine: str, version: str, die: str | None) -> None:
    if die is not None:
        die_at(die, engine)
    workspace = open_home(home, engine)
    releases.publish(workspace, workspace.version(version))
    workspace.index.close()


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    print("ready", flush=True)  # noqa: T201
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if not child:
            try:
                publish(Path(order["home"]), order["engine"], order["version"], order["die"])
            except BaseException as error:
                sys.stderr.write(f"{type(error).__name__}: {error}\n")
                os._exit(1)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)  # noqa: T201

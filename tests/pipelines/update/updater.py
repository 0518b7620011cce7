"""Updates a home in a process that may be killed at a step."""

from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path
from typing import Any

from pipelines.update import pipeline
from registry import operations
from twinvec import stage
from twinvec.features import store
from twinvec.releases import stores, updating
from twinvec.settings import Settings
from twinvec.vectors import edge
from twinvec.workspace import Workspace

# What is called, the call at which the process dies, and whether that is before or after it; in the order in which a
# process that goes on after each kill comes to them.
STEPS: dict[str, tuple[Any, str, int, str]] = {
    "graph begun": (stage, "_keep", 1, "before"),
    "text written": (stage, "_keep", 2, "after"),
    "image made": (stage, "_record", 2, "after"),
    "related written": (stage, "_keep", 2, "after"),
    "embedded": (updating, "publish_update", 1, "before"),
    "collection created": (edge, "create_shard", 1, "after"),
    "uploaded": (edge.EdgeIndex, "build", 1, "before"),
    "built": (edge.EdgeIndex, "build", 1, "after"),
    "published": (updating, "publish_update", 1, "after"),
    "reported": (updating, "promote", 1, "before"),
    "half online": (store, "write_online", 3, "after"),
    "service switched": (stores, "set_service", 1, "after"),
    "models switched": (stores, "set_models", 1, "after"),
    "alias switched": (stores, "set_alias", 1, "after"),
    "registry changed": (operations, "make_live", 1, "after"),
}


def kill_at(step: str) -> None:
    """Let this process be killed at a step."""
    owner, name, wanted, when = STEPS[step]
    original, calls = getattr(owner, name), itertools.count(1)

    def hooked(*arguments: Any, **named: Any) -> Any:
        now = next(calls) == wanted
        if now and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*arguments, **named)
        if now:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, hooked)


def update(home: str, settings: dict[str, Any], die: str | None) -> None:
    """Update a home, or be killed at a step of it."""
    if die is not None:
        kill_at(die)
    workspace = Workspace(Settings(home=Path(home), **settings))
    pipeline.update(workspace, workspace.snapshot())
    workspace.index.close()

"""Commands on a home in a process that may be killed at a step of a switch."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from pydantic import SecretStr

from registry import journal, operations
from registry.database import transaction
from twinvec import releases, tracking
from twinvec.errors import TwinvecError
from twinvec.features.manifest import Manifest
from twinvec.features.store import find_service
from twinvec.releases import promotion, stores
from twinvec.releases.lookup import all_releases
from twinvec.settings import GateSettings, RegistrySettings, Settings
from twinvec.spaces import served_as
from twinvec.tracking import aliases  # noqa: F401
from twinvec.vectors import edge  # noqa: F401
from twinvec.workspace import Workspace

STEPS: dict[str, list[tuple[Any, str]]] = {
    "journal": [(journal, "begin")],
    "service": [(stores, "set_service")],
    "model": [(tracking, "set_alias"), (tracking, "remove_alias")],
    "alias": [(stores, "set_alias")],
    "strike": [(journal, "end")],
    "registry": [(operations, "make_live")],
    "all": [(promotion, "carry_out")],
}


def kill_at(die: str) -> None:
    """Let this process be killed before or after the n-th call of a step."""
    step, when, *rest = die.split()
    wanted = int(rest[0]) if rest else 1
    calls = itertools.count(1)

    def hook(original: Callable[..., Any]) -> Callable[..., Any]:
        def hooked(*arguments: Any, **named: Any) -> Any:
            now = next(calls) == wanted
            if now and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = original(*arguments, **named)
            if now:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return hooked

    for owner, name in STEPS[step]:
        setattr(owner, name, hook(getattr(owner, name)))


def tell(workspace: Workspace, name: str) -> dict[str, object]:
    """Tell what is live, as each store tells it, and what it answers."""
    serving = served_as(workspace.settings, name).serving
    assert serving is not None
    service = find_service(workspace.features, name)
    with transaction(workspace.engine) as session:
        aliases = operations.aliases(session)
        versions = operations.versions(session)
    told: dict[str, object] = {
        **pending(workspace, name),
        "states": {release.collection: release.state for release in all_releases(workspace, name)},
        "registry": aliases.get(name),
        "service": service and service.tags["collection"],
        "views": service and sorted(projection.name for projection in service.feature_view_projections),
        "index": workspace.index.aliases().get(name),
        "models": {
            f"{space} {alias}": tracking.alias_uri(workspace.settings, space, alias)
            for space in sorted({version.space for version in versions})
            for alias in serving.aliases
        },
    }
    if told["index"]:
        assert serving.asks is not None
        collection = str(told["index"])
        told["points"] = workspace.index.count(collection)
        key, vector = first_question(workspace, collection, name, serving.asks.name)
        hits = workspace.index.search(collection, vector, 5, ef=64)[0]
        told["answers"] = [collection, *(hit.product_id for hit in hits)]
        if service is not None:
            rows = workspace.features.get_online_features(service, [key]).to_dict()
            told["online"] = rows[serving.asks.name][0]
    return told


def pending(workspace: Workspace, name: str) -> dict[str, object]:
    with transaction(workspace.engine) as session:
        return {"unfinished": journal.unfinished(session, name) is not None}


def first_question(
    workspace: Workspace, collection: str, name: str, field: str
) -> tuple[dict[str, str], Any]:
    """The first key of the version that a collection serves, and its query vector [1, d]."""
    with transaction(workspace.engine) as session:
        release = next(r for r in operations.releases(session, name) if r.collection == collection)
    key = Manifest.from_json(release.version.manifest).entity
    row = (
        pq.read_table(Path(release.version.path) / "vectors", columns=[key, field]).slice(0, 1).to_pylist()[0]
    )
    return {key: row[key]}, np.array([row[field]], np.float32)


def run(
    home: str, command: str, url: str | None = None, die: str | None = None, name: str = "related_products"
) -> object:
    """Run a command on a home; what it gives, or the error it ends with.

    Args:
        url: URL of the registry, if it is not in the home.
        die: The step to be killed at.
        name: Name of the releases.
    """
    if die is not None:
        kill_at(die)
    registry = RegistrySettings(url=SecretStr(url)) if url is not None else RegistrySettings()
    workspace = Workspace(Settings(home=Path(home), registry=registry, gates=GateSettings(sample=5)))
    verb, *arguments = command.split()
    try:
        return carry_out(workspace, verb, arguments, name)
    except TwinvecError as error:
        return {"error": type(error).__name__, "message": str(error)}
    finally:
        workspace.index.close()
        workspace.engine.dispose()


def carry_out(workspace: Workspace, verb: str, arguments: list[str], name: str) -> object:
    if verb == "promote":
        return releases.promote(workspace, releases.find(workspace, arguments[0], name)).label
    if verb == "rollback":
        return releases.rollback(workspace, name=name).label
    if verb == "settle":
        crashed = {"index": stores.alias_at(workspace, name), **pending(workspace, name)}
        return {"crashed": crashed, "said": releases.settle(workspace), "told": tell(workspace, name)}
    return tell(workspace, name)

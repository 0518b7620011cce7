"""Runs commands on homes, each in a process of its own that may be killed at a step; prints what became of it.

A line of JSON in, `{"home": …, "command": "promote 2", "die": "model after 3"}`, and a line out,
`{"killed": true, "result": …}`. The processes are forked from this one, since their imports take seconds.
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

# What MLflow and Feast import when they open their stores.
import feast.infra.offline_stores.duckdb
import feast.infra.online_stores.postgres_online_store.postgres
import feast.infra.online_stores.sqlite
import feast.infra.registry.sql  # noqa: F401
import mlflow.store.model_registry.sqlalchemy_store
import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
import sqlalchemy.orm

from registry import journal, operations
from registry.database import transaction
from twinvec import releases, tracking
from twinvec.errors import TwinvecError
from twinvec.features.store import find_service
from twinvec.releases import promotion, stores
from twinvec.releases.lookup import all_releases
from twinvec.serving.related import Recommender
from twinvec.settings import Settings
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


def tell(workspace: Workspace) -> dict[str, object]:
    """What is live, as each store tells it, and what it answers."""
    name = workspace.settings.release
    service = find_service(workspace.features, name)
    with transaction(workspace.engine) as session:
        aliases = operations.aliases(session)
        versions = operations.versions(session)
    told: dict[str, object] = {
        **pending(workspace),
        "states": {release.collection: release.state for release in all_releases(workspace)},
        "registry": aliases.get(name),
        "service": service and service.tags["collection"],
        "views": service and sorted(projection.name for projection in service.feature_view_projections),
        "index": workspace.index.aliases().get(name),
        "models": {
            f"{space} {alias}": tracking.alias_uri(workspace.settings, space, alias)
            for space in sorted({version.space for version in versions})
            for alias in (tracking.LIVE, tracking.PREVIOUS)
        },
    }
    if told["index"]:
        collection = str(told["index"])
        told["points"] = workspace.index.count(collection)
        product = workspace.index.search(collection, first_source(workspace, collection), 1)[0][0].product_id
        answer = Recommender(workspace.index, name, 64).related(product, 5)
        told["answers"] = [answer.release, *(hit.product.product_id for hit in answer.hits)]
        if service is not None:
            rows = workspace.features.get_online_features(service, [{"product_id": product}]).to_dict()
            told["online"] = rows["source_vector"][0]
    return told


def pending(workspace: Workspace) -> dict[str, object]:
    with transaction(workspace.engine) as session:
        return {"unfinished": journal.unfinished(session, workspace.settings.release) is not None}


def first_source(workspace: Workspace, collection: str) -> Any:
    """A query vector [1, d] of the right length."""
    import numpy as np

    with transaction(workspace.engine) as session:
        release = next(
            r for r in operations.releases(session, "related_products") if r.collection == collection
        )
    return np.ones((1, release.version.dimension or 0), np.float32)


def run(home: Path, command: str) -> object:
    workspace = Workspace(Settings(home=home))
    name, *arguments = command.split()
    if name == "promote":
        return releases.promote(workspace, releases.find(workspace, arguments[0])).label
    if name == "rollback":
        return releases.rollback(workspace).label
    if name == "settle":
        crashed = {"index": stores.alias_at(workspace, workspace.settings.release), **pending(workspace)}
        return {"crashed": crashed, "said": releases.settle(workspace), "told": tell(workspace)}
    return tell(workspace)


def main() -> None:
    warnings.simplefilter("ignore")
    sqlalchemy.orm.configure_mappers()
    for line in sys.stdin:
        task = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            if task["die"]:
                kill_at(task["die"])
            try:
                result = run(Path(task["home"]), task["command"])
            except TwinvecError as error:
                result = {"error": type(error).__name__, "message": str(error)}
            with os.fdopen(writing, "w") as pipe:
                json.dump(result, pipe)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            result = pipe.read()
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        sys.stdout.write(
            json.dumps({"killed": killed, "status": status, "result": json.loads(result or "null")}) + "\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()

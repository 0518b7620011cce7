"""The live release, as each store tells it."""

from __future__ import annotations

from registry import journal, operations
from registry.database import transaction
from twinvec import releases, tracking
from twinvec.features.store import find_service
from twinvec.releases.lookup import all_releases
from twinvec.workspace import Workspace

NAME = "related_products"


def standing(workspace: Workspace) -> dict[str, object]:
    """Tell what is live, as each store tells it."""
    service = find_service(workspace.features, NAME)
    with transaction(workspace.engine) as session:
        aliases = operations.aliases(session)
    live = releases.live(workspace)
    models = {
        f"{space} {alias}": tracking.alias_uri(workspace.settings, space, alias)
        for space in ("text", "related")
        for alias in (tracking.LIVE, tracking.PREVIOUS)
    }
    return {
        "registry": live and live.collection,
        "registry alias": aliases.get(NAME),
        "states": [release.state.value for release in all_releases(workspace)],
        "index": workspace.index.aliases().get(NAME),
        "service": service and service.tags["collection"],
        "views": service and sorted(projection.name for projection in service.feature_view_projections),
        **models,
    }


def agreed(workspace: Workspace) -> object:
    """The collection that every store calls live."""
    now = standing(workspace)
    assert len({now[name] for name in ("registry", "registry alias", "index", "service")}) == 1, now
    return now["registry"]


def unfinished(workspace: Workspace) -> bool:
    with transaction(workspace.engine) as session:
        return journal.unfinished(session, NAME) is not None

"""Releases with the registry, Feast's registry and its online store on a real PostgreSQL server."""

from __future__ import annotations

from typing import Any

import pytest
from feast import FeatureStore

from registry import journal, operations
from registry.database import transaction
from twinvec import releases
from twinvec.errors import StoreError
from twinvec.features.store import find_service
from twinvec.releases import stores
from twinvec.releases.lookup import all_releases
from twinvec.serving.related import Recommender
from twinvec.workspace import Workspace

NAME = "related_products"

pytestmark = pytest.mark.postgres


def live_everywhere(workspace: Workspace) -> set[object]:
    """The collection of the live release, as the registry, its map of aliases, Feast and Qdrant have it."""
    service, serving = find_service(workspace.features, NAME), releases.live(workspace)
    with transaction(workspace.engine) as session:
        kept = operations.aliases(session)[NAME]
    pointed = stores.alias_at(workspace, NAME)
    return {service and service.tags["collection"], serving and serving.collection, kept, pointed}


def test_releases_are_published_promoted_read_and_rolled_back(world: Any, on_postgres: Workspace) -> None:
    workspace, product = on_postgres, world.products["product_id"][7]
    assert workspace.engine.dialect.name == "postgresql"
    assert workspace.features.config.online_store.type == "postgres"
    assert live_everywhere(workspace) == {f"{NAME}__v4"}
    # The first version's release is retired, so this is a new one; its vectors come online by its promotion.
    fifth = releases.publish(workspace, workspace.version("related@v1"))
    assert fifth.label == f"{NAME}@v5"
    for release, vectors in ((fifth, world.vectors[0]), (releases.find(workspace, "2"), world.vectors[1])):
        releases.promote(workspace, release, force=True)
        assert live_everywhere(workspace) == {release.collection}
        reader = FeatureStore(repo_path=str(workspace.settings.home))
        row = reader.get_online_features(
            reader.get_feature_service(NAME), [{"product_id": product}]
        ).to_dict()
        assert row["source_vector"][0] == pytest.approx(vectors[0][7].tolist())
        assert Recommender(workspace.index, NAME, 64).related(product, 3).release == release.collection
    assert releases.rollback(workspace).number == 1
    assert live_everywhere(workspace) == {f"{NAME}__v1"}
    assert [str(release.state) for release in all_releases(workspace)].count("live") == 1


def test_what_a_crash_left_is_settled(on_postgres: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before queries follow the new release, it is undone; after that, it is finished."""

    def refuse(*_arguments: object) -> None:
        raise StoreError("PostgreSQL went away")

    for function, finished in (("set_alias", False), ("make_live", True)):
        with monkeypatch.context() as patch:
            patch.setattr(stores if function == "set_alias" else operations, function, refuse)
            with pytest.raises(StoreError, match="could not be finished or undone"):
                releases.promote(on_postgres, releases.find(on_postgres, "2"), force=True)
        assert len(live_everywhere(on_postgres)) == 2, "between two releases"
        said = releases.settle(on_postgres)
        assert said is not None
        assert said.endswith("it was finished" if finished else "it was undone")
        assert live_everywhere(on_postgres) == {f"{NAME}__v2" if finished else f"{NAME}__v4"}
        with transaction(on_postgres.engine) as session:
            assert journal.unfinished(session, NAME) is None

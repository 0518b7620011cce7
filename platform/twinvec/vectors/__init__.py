"""Vector search: the same collections and aliases in Qdrant Edge (in process) or on a Qdrant server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinvec.vectors.index import CollectionConfig, Filters, Hit, VectorIndex
from twinvec.vectors.points import PointBatch, make_points, point_id, point_ids
from twinvec.vectors.publish import Verification, publish

if TYPE_CHECKING:
    from twinvec.settings import Settings

__all__ = [
    "CollectionConfig",
    "Filters",
    "Hit",
    "PointBatch",
    "VectorIndex",
    "Verification",
    "make_points",
    "open_index",
    "point_id",
    "point_ids",
    "publish",
]


def open_index(settings: Settings) -> VectorIndex:
    """Open the index that the settings name: the server at `qdrant.url`, or Qdrant Edge in the home."""
    qdrant = settings.qdrant
    if qdrant.url is None:
        from twinvec.vectors.edge import EdgeIndex

        return EdgeIndex(settings.paths.qdrant)
    from twinvec.vectors.server import Layout, ServerIndex, connect

    key = qdrant.api_key.get_secret_value() if qdrant.api_key else None
    layout = Layout(
        qdrant.shard_number, qdrant.replication_factor, qdrant.write_consistency_factor, qdrant.on_disk
    )
    return ServerIndex(connect(qdrant.url, key, qdrant.timeout), layout)

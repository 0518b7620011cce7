"""Judging two versions of the space `sellers` on the same held-out offers, which neither was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from pipelines.graph.product_graph import Split
from pipelines.sellers.pipeline import TESTED, read_graph
from pipelines.sellers.recall import rank_offers
from registry.models import Version
from twinvec.catalogue.snapshot import open_snapshot
from twinvec.features.manifest import Manifest
from twinvec.features.vectors import read_keys
from twinvec.nn.device import resolve_device
from twinvec.releases.gates import Gate, Quality, named
from twinvec.releases.lookup import searched_version
from twinvec.workspace import Workspace

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Tested:
    """Vectors that know the training offers alone.

    Attributes:
        sellers, products: Ids of the sellers and of the candidates, strings.
        vectors: Vectors of the sellers, then of the candidates, float32 [sellers + products, d].
    """

    sellers: pa.Array
    products: pa.Array
    vectors: Floats


def compare(workspace: Workspace, new: Version, live: Version) -> Quality:
    """Compare recall@k of the test offers of the new version's snapshot, among sellers and candidates of both.

    Whether an offer is held out depends on its ids and the seed alone, so both versions held out the same ones.
    """
    settings = workspace.settings
    ours, other = read_tested(workspace, new), read_tested(workspace, live)
    if ours is None or other is None:
        without = new if ours is None else live
        return Quality(
            remark=f"quality was not compared: {without.name} keeps no vectors that it was tested with"
        )
    _, graph = read_graph(open_snapshot(Path(new.snapshot.path)), settings)
    device = resolve_device(settings.device)
    places = [_places(each, graph.ids, graph.sellers) for each in (ours, other)]
    both = (places[0] >= 0) & (places[1] >= 0)
    judged = graph.within(both)
    offers = len(judged.offers_of(Split.TEST)[0])
    if not offers:
        return Quality(remark="quality was not compared: both versions have no held-out offer in common")
    k = settings.sellers.recall_at
    recalls = []
    for each, place in zip((ours, other), places, strict=True):
        vectors = torch.from_numpy(each.vectors[np.where(both, place, 0)]).to(device)
        recalls.append(float(np.mean(rank_offers(vectors, judged, Split.TEST) <= k)))
    least = recalls[1] * (1 - settings.gates.max_hits_drop)
    bound = named(settings.gates, "max_hits_drop")
    gate = Gate(f"recall_at_{k}", recalls[0], recalls[1], least, None, bound)
    return Quality(((gate, offers),), offers)


def read_tested(workspace: Workspace, version: Version) -> Tested | None:
    """Return what a version is judged by; None if it keeps no such vectors, as those made by an update."""
    products = searched_version(workspace, version)
    files = [Path(each.path) / TESTED for each in (version, products)]
    if not all(file.is_file() for file in files):
        return None
    keys = [
        read_keys(Path(each.path), Manifest.from_json(each.manifest).entity) for each in (version, products)
    ]
    return Tested(keys[0], keys[1], np.concatenate([np.load(file) for file in files]))


def _places(tested: Tested, ids: pa.Array, sellers: int) -> npt.NDArray[np.int64]:
    """Return the row of each node in the tested vectors, −1 where it has none, int64 [nodes]."""
    as_seller = _rows(ids.slice(0, sellers), tested.sellers, 0)
    as_product = _rows(ids.slice(sellers), tested.products, len(tested.sellers))
    return np.concatenate([as_seller, as_product])


def _rows(ids: pa.Array, among: pa.Array, first: int) -> npt.NDArray[np.int64]:
    rows = pc.index_in(ids, among)
    numbers: npt.NDArray[np.int64] = rows.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return np.where(numbers >= 0, numbers + first, -1)

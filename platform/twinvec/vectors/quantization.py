"""Quantisation of target vectors: shorter codes that a search compares first, before it rescores with the vectors.

Qdrant keeps the vectors beside the codes. A search takes `OVERSAMPLING` times as many candidates by their codes as it
has to return, and orders these by their vectors. An exact search does not look at the codes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from twinvec.settings.stores import QdrantSettings
from twinvec.vectors.checksum import UploadSummary
from twinvec.vectors.index import TRIALS, Quantization, VectorIndex
from twinvec.vectors.recall import Trial
from twinvec.vectors.verify import raise_ef, recall_queries

KINDS: tuple[Quantization, ...] = ("binary", "product", "scalar", "none")


@dataclass(frozen=True)
class Choice:
    """Quantisation of a collection, and what was tried to choose it."""

    quantization: Quantization
    code_bytes: int
    trials: Mapping[str, Trial]


def code_bytes(quantization: Quantization, points: int, dimension: int) -> int:
    """Return the bytes that Qdrant keeps for the codes of so many vectors."""
    vector = {
        "binary": 16 * -(-dimension // 128),  # words of 128 bits
        "product": -(-dimension // 4),  # one byte for four numbers
        "scalar": 16 * -(-dimension // 16) + 4,  # sixteen bytes at a time, and an offset
        "none": 4 * dimension,
    }[quantization]
    codebook = 4 * 256 * dimension if quantization == "product" else 0  # 256 centres for each four numbers
    return points * vector + codebook


def by_size(points: int, dimension: int) -> list[Quantization]:
    """Return all quantisations, that with the fewest bytes first."""
    return sorted(KINDS, key=lambda kind: code_bytes(kind, points, dimension))


def build(
    index: VectorIndex,
    collection: str,
    sent: UploadSummary,
    settings: QdrantSettings,
    require_turn: Callable[[], None],
) -> Choice:
    """Build the collection's graph, with the quantisation that the settings name or that is chosen by trials.

    Vectors of fewer bytes than `full_scan_threshold` get no graph and are scanned as they are.

    Args:
        require_turn: Called before each build of a trial; raises an error if this process should stop.
    """
    shape = sent.points, sent.source.shape[1]
    small = code_bytes("none", *shape) < 1024 * settings.full_scan_threshold
    wanted = "none" if small else settings.quantization
    if wanted != "auto":
        index.build(collection, wanted)
        return Choice(wanted, code_bytes(wanted, *shape), {})
    trials = _try_by_size(index, collection, sent, settings, require_turn)
    chosen = choose(trials, by_size(*shape), settings)
    assert chosen is not None
    index.build(collection, chosen)
    return Choice(chosen, code_bytes(chosen, *shape), trials)


def choose(
    trials: Mapping[str, Trial], order: Sequence[Quantization], settings: QdrantSettings
) -> Quantization | None:
    """Return the first quantisation that loses at most `quantization_loss` of the recall there is without.

    It must also have `min_recall` under every filter. None is returned if it depends on what is left to try.

    Args:
        order: All quantisations, see `by_size`.
    """
    for quantization in order:
        if not trials.keys() >= {"none", quantization}:
            return None
        trial, least = trials[quantization], (1 - settings.quantization_loss) * trials["none"].recall_at_10
        if trial.recall_at_10 >= least and trial.least >= settings.min_recall:
            return quantization
    return "none"


def _try_by_size(
    index: VectorIndex,
    collection: str,
    sent: UploadSummary,
    settings: QdrantSettings,
    require_turn: Callable[[], None],
) -> dict[str, Trial]:
    """Try without quantisation, then each from the smallest, until one can be chosen.

    Every result is noted in the collection, so that a publish that was interrupted goes on after it and chooses alike.
    """
    trials = {
        name: Trial(**trial) for name, trial in json.loads(index.notes(collection).get(TRIALS, "{}")).items()
    }
    shape, queries = (sent.points, sent.source.shape[1]), None
    order, without = by_size(*shape), KINDS[-1]
    while choose(trials, order, settings) is None:
        quantization = next(kind for kind in (without, *order) if kind not in trials)
        require_turn()
        index.build(collection, quantization)
        queries = queries or recall_queries(index, collection, sent)
        if quantization == "none":
            ef, recalls = raise_ef(index, collection, queries, sent.points, settings)
        else:
            ef = trials["none"].ef
            recalls = {name: query.recall(index, collection, ef) for name, query in queries.items()}
        trials[quantization] = Trial(recalls[""], min(recalls.values()), ef, code_bytes(quantization, *shape))
        noted = {name: asdict(trial) for name, trial in trials.items()}
        require_turn()
        index.annotate(collection, {TRIALS: json.dumps(noted)})
    return trials

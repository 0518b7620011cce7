"""Manifest of an embedding version: its contents and origin."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from twinvec import digest, files
from twinvec.errors import StoreError

# `preprocessing` of versions whose vectors were made elsewhere.
IMPORTED = "imported"

FILE = "manifest.json"
# Values that manifests have only since there is a need for them: digests of older ones stay what they were.
OPTIONAL = ("frozen", "types", "also")
Metric = Literal["cosine", "dot"]


@dataclass(frozen=True)
class Manifest:
    """Contents and origin of an embedding version.

    Its digest goes wherever the vectors go, so that they can be traced to it.

    Args:
        space: Such as `text`.
        entity: The key of a row, `product_id` or `category`.
        fields: Names of the columns, as the space declares them.
        dimension: Length of each vector; 0 without vectors.
        metric: Comparison of two vectors.
        normalised: True if every vector has length 1.
        rows: Number of vectors in each column.
        snapshot: Id of the snapshot.
        graph: Digest of the product graph, or None if none was used.
        model: Digest of the model's weights.
        preprocessing: Digest of what is done to a product before the model sees it.
        inputs: Name of each input version (`text@v3`) → its manifest's digest.
        frozen: Name of the version whose model made this one without being trained again; None if it was trained.
        types: Name of each column → its type, of a version that is a table of something else than vectors; else None.
        also: Further columns of the key of a row, if `entity` alone does not identify it; else None.
    """

    space: str
    entity: str
    fields: tuple[str, ...]
    dimension: int
    metric: Metric
    normalised: bool
    rows: int
    snapshot: str
    graph: str | None
    model: str
    preprocessing: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    frozen: str | None = None
    types: Mapping[str, str] | None = None
    also: tuple[str, ...] | None = None

    @property
    def digest(self) -> str:
        """Digest of 16 hexadecimal digits, equal only for equal manifests."""
        return digest.of_json(self.to_json())

    @property
    def keys(self) -> tuple[str, ...]:
        """Columns that identify a row together."""
        return (self.entity, *(self.also or ()))

    @property
    def imported(self) -> bool:
        """True if the vectors were made elsewhere, so that there is no model of the version."""
        return self.preprocessing == IMPORTED

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as JSON-like values, as the registry keeps it; optional ones only if they are set."""
        also = list(self.also) if self.also is not None else None
        values = {**asdict(self), "fields": list(self.fields), "inputs": dict(self.inputs), "also": also}
        return {key: value for key, value in values.items() if key not in OPTIONAL or value is not None}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Manifest:
        """Return the manifest that `to_json` wrote.

        Raises:
            StoreError: If a value is missing or unknown.
        """
        names = {field.name for field in fields(cls)}
        if {*values, *OPTIONAL} != names:
            odd = ", ".join(sorted(names.symmetric_difference({*values, *OPTIONAL})))
            raise StoreError(
                f"a manifest with missing or unknown values: {odd}", "it was written by another Twinvec"
            )
        also = values.get("also")
        tuples = {"fields": tuple(values["fields"]), "also": tuple(also) if also is not None else None}
        return cls(**{**values, **tuples})


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json` into the folder of a version."""
    files.write_text(folder / FILE, json.dumps(manifest.to_json(), indent=2) + "\n")

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twinvec.errors import StoreError
from twinvec.features.manifest import Manifest, write_manifest
from twinvec.features.vectors import write_batches, write_vectors
from twinvec.spaces import find_space

NOW = datetime(2026, 5, 4, 3, 2, 1, 987654, tzinfo=UTC)


def read(folder: Path) -> pa.Table:
    return pq.ParquetDataset(folder / "vectors").read()


def test_what_is_written_is_read_back_exactly(tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    keys = [f"p{i}" for i in random.permutation(25_013)]
    fields = {
        name: random.standard_normal((len(keys), 5)).astype(np.float32)
        for name in find_space("related").fields
    }
    assert write_vectors(tmp_path, "product_id", pa.array(keys), fields, NOW, rows_per_file=20_000) == len(
        keys
    )

    files = sorted(file.name for file in (tmp_path / "vectors").iterdir())
    assert files == ["part-00000.parquet", "part-00001.parquet"]
    table = read(tmp_path)
    assert table.schema.field("source_vector").type == pa.list_(pa.float32())
    assert table.schema.field("event_timestamp").type == pa.timestamp("us", tz="UTC")
    assert table["product_id"].to_pylist() == keys
    assert set(table["event_timestamp"].to_pylist()) == {NOW}
    for name, vectors in fields.items():
        read_back = table[name].combine_chunks().flatten().to_numpy().reshape(-1, 5)
        np.testing.assert_array_equal(read_back, vectors)


def test_batches_of_any_size_make_the_same_rows(tmp_path: Path) -> None:
    vectors = np.random.default_rng(8).standard_normal((17, 3)).astype(np.float32)
    keys = [f"c{i}" for i in range(17)]
    bounds = [(0, 1), (1, 9), (9, 17)]
    batches = ((keys[a:b], {"category_vector": vectors[a:b]}) for a, b in bounds)
    assert write_batches(tmp_path, "category", batches, NOW) == 17
    assert read(tmp_path)["category"].to_pylist() == keys


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_refused_with_its_key(tmp_path: Path, bad: float) -> None:
    vectors = np.zeros((4, 3), np.float32)
    vectors[2, 1] = bad
    with pytest.raises(StoreError, match="text_vector of product_id 'c' is not finite"):
        write_vectors(tmp_path, "product_id", list("abcd"), {"text_vector": vectors}, NOW)


@pytest.mark.parametrize("at_once", [1, 3, 2_000_000])
def test_a_key_that_comes_twice_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr("twinvec.features.vectors.KEYS_AT_ONCE", at_once)
    batches = ((["x", key], {"text_vector": np.zeros((2, 3), np.float32)}) for key in ("y", "z"))
    with pytest.raises(ValueError, match="product_id 'x' comes 2 times"):
        write_batches(tmp_path, "product_id", batches, NOW)


@pytest.mark.parametrize("rows", [3, 5])
def test_vectors_that_do_not_fit_the_keys_are_refused(tmp_path: Path, rows: int) -> None:
    with pytest.raises(ValueError, match="4"):
        write_vectors(
            tmp_path, "product_id", list("abcd"), {"text_vector": np.zeros((rows, 2), np.float32)}, NOW
        )


def test_no_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no vectors"):
        write_batches(tmp_path, "product_id", [], NOW)


def manifest(**changes: object) -> Manifest:
    values = {
        "space": "related", "entity": "product_id", "fields": find_space("related").fields, "dimension": 8,
        "metric": "dot", "normalised": False, "rows": 3, "snapshot": "s", "graph": None, "model": "m",
        "preprocessing": "p", "inputs": {"aligned@v1": "a", "text@v1": "t"},
    }  # fmt: skip
    return Manifest(**{**values, **changes})  # type: ignore[arg-type]


def test_a_manifest_survives_json_with_its_digest(tmp_path: Path) -> None:
    import json

    write_manifest(tmp_path, manifest())
    again = Manifest.from_json(json.loads((tmp_path / "manifest.json").read_text()))
    assert again == manifest()
    assert again.digest == manifest(inputs={"text@v1": "t", "aligned@v1": "a"}).digest
    assert again.digest != manifest(model="other").digest


def test_a_manifest_with_an_unknown_value_is_refused() -> None:
    with pytest.raises(StoreError, match="colour"):
        Manifest.from_json({**manifest().to_json(), "colour": "red"})

"""Amazon's Shopping Queries: the original's two files, and the sample with both in one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from twinvec.errors import CatalogueError

SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "esci_sample" / "esci.csv"


def frames() -> dict[str, pd.DataFrame]:
    products = pd.DataFrame(
        [
            ("B1", "USB cable", "us", "Acme"),
            ("B1", "Cable USB", "es", None),
            ("B2", "Mains plug", "us", None),
        ],
        columns=["product_id", "product_title", "product_locale", "product_brand"],
    )
    examples = pd.DataFrame(
        [
            (0, "usb cable", 7, "B1", "us", "E", 1, 1, "train"),
            (1, "usb cable", 7, "B2", "us", "Complement", 0, 1, "train"),
            (2, "cable", 8, "B1", "es", "S", 1, 1, "test"),
            (3, "cable", 8, "B9", "es", "I", 1, 1, "test"),
        ],
        columns=[
            "example_id", "query", "query_id", "product_id", "product_locale", "esci_label",
            "small_version", "large_version", "split",
        ],
    )  # fmt: skip
    return {"products": products, "examples": examples}


def write(folder: Path, suffix: str) -> Path:
    folder.mkdir()
    for name, frame in frames().items():
        path = folder / f"shopping_queries_dataset_{name}{suffix}"
        frame.to_parquet(path) if suffix == ".parquet" else frame.to_csv(path, index=False)
    return folder


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_the_two_files_of_the_original(tmp_path: Path, ingest_into: Any, suffix: str) -> None:
    report = ingest_into(write(tmp_path / "s", suffix), "esci")
    rows = {name: pq.read_table(report.snapshot.table(name)).to_pylist() for name in report.snapshot.tables}
    assert [(row["product_id"], dict(row["title"]), row["brand"]) for row in rows["products"]] == [
        ("B1", {"en": "USB cable", "es": "Cable USB"}, "Acme"),
        ("B2", {"en": "Mains plug"}, None),
    ]
    assert [tuple(row.values()) for row in rows["queries"]] == [
        ("7", "usb cable", "us", "train"),
        ("8", "cable", "es", "test"),
    ]
    assert [tuple(row.values()) for row in rows["judgements"]] == [
        ("7", "B1", "us", "E"),
        ("7", "B2", "us", "C"),
        ("8", "B1", "es", "S"),
    ]
    assert report.left_out["judgements"] == {"unknown product": 1}
    small = ingest_into(tmp_path / "s", "esci-small").snapshot
    assert pq.read_table(small.table("judgements"))["label"].to_pylist() == ["E", "S"]


def test_a_folder_without_the_files_says_which(tmp_path: Path, ingest_into: Any) -> None:
    folder = write(tmp_path / "s", ".csv")
    next(folder.glob("*examples*")).unlink()
    with pytest.raises(CatalogueError, match=r"has 0 files of examples: none\n.*holds `examples`"):
        ingest_into(folder, "esci")


@pytest.mark.skipif(not SAMPLE.is_file(), reason=f"{SAMPLE} is not there")
def test_the_sample_of_the_public_set(ingest_into: Any) -> None:
    report = ingest_into(SAMPLE, "esci")
    judgements = pq.read_table(report.snapshot.table("judgements")).to_pandas()
    raw = pd.read_csv(SAMPLE)
    assert len(judgements) == len(raw) == 200
    assert judgements["label"].value_counts().to_dict() == (raw["esci_label"].str[0].value_counts().to_dict())
    titles = {
        row["product_id"]: dict(row["title"])["en"]
        for row in pq.read_table(report.snapshot.table("products")).to_pylist()
    }
    assert titles == dict(zip(raw["product_id"], raw["product_title"].str.strip(), strict=True))
    assert not any(report.quarantined.values())

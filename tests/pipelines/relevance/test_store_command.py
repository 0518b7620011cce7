"""`twinvec sellers store --searches` writes what `twinvec ingest` reads, and leaves the other tables as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipelines.command import app
from twinvec.catalogue.synthetic import store


def test_searches_are_written_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(store.SIZES, "tiny", 200)
    for name, options in (("plain", []), ("searched", ["--searches"])):
        asked = ["sellers", "store", str(tmp_path / name), "--seed", "3", "--json", *options]
        result = CliRunner().invoke(app, asked)
        assert result.exit_code == 0, result.output
        counts = json.loads(result.stdout)
        for table in ("queries", "judgements", "query_purchases"):
            file = tmp_path / name / f"{table}.parquet"
            assert file.is_file() == bool(options)
            assert counts[table] == (pq.read_metadata(file).num_rows if options else 0)
    for table in ("products", "orders", "interactions"):
        plain, searched = (
            (tmp_path / name / f"{table}.parquet").read_bytes() for name in ("plain", "searched")
        )
        assert plain == searched
    assert counts["judgements"] == 4 * counts["queries"] == 4 * 2 * 200

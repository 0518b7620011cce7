from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import cases


def test_without_the_cases_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    cases.main([str(tmp_path / "none"), str(page)])
    assert "nothing is written" in capsys.readouterr().out
    assert not page.exists()


def test_each_case_has_a_row_of_what_happens(tmp_path: Path) -> None:
    folder = tmp_path / "cases"
    (folder / "05-csv-cr").mkdir(parents=True)
    (folder / "05-csv-cr" / "orders.csv").write_bytes(b"order_id,product_id\r1,a\r1,b\r")
    (folder / "14-wrong-format").mkdir()
    (folder / "14-wrong-format" / "meta2018.json").write_text('{"asin": "A", "also_buy": [], "imageURL": []}')
    page = tmp_path / "page.md"
    cases.main([str(folder), str(page)])
    rows = [line for line in page.read_text().splitlines() if line.startswith("| `")]
    assert len(rows) == 2
    assert "| 0 | 2 products, 2 orders, 1 copurchase" in rows[0]
    assert "| 1 | error: 14-wrong-format/meta2018.json looks like amazon-2018" in rows[1]

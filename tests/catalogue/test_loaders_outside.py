"""A package from outside the repository adds a format, by one declaration and its entry point."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipelines.command import app
from tests.outside import write_package
from twinvec.catalogue.loaders import loader_names
from twinvec.errors import PluginError

SOURCE = """
from twinvec.catalogue.loaders import Loader

LINES = Loader("{package}.lines:load", "a file with a basket of product ids a line", columns=("sku",))
NO_LOADER = "LINES"
"""
LINES = '''
import pyarrow as pa
import pyarrow.parquet as pq
from twinvec.catalogue.loaders.staging import StagedTables

def load(source, context):
    """Every line is a basket; the setting `ingest.columns` may say what a product id begins with."""
    start = context.columns.get("sku", "")
    rows = [
        (start + name, str(number), number)
        for number, line in enumerate(source.read_text().splitlines(), 1)
        for name in line.split()
    ]
    file = context.work / "lines.parquet"
    names = ("product_id", "order_id", "line")
    pq.write_table(pa.table(dict(zip(names, map(list, zip(*rows))))), file)
    told = "line, product_id AS text, NULL::VARCHAR AS reason"
    products = f"""
        SELECT product_id, NULL::MAP(VARCHAR, VARCHAR) AS title, []::VARCHAR[] AS category, NULL::DOUBLE AS price,
               NULL::VARCHAR AS currency, 'default' AS marketplace, NULL::VARCHAR AS brand, NULL::VARCHAR AS image,
               {told}
        FROM (SELECT product_id, min(line) AS line FROM '{file}' GROUP BY product_id)"""
    orders = f"SELECT order_id, product_id, NULL::TIMESTAMPTZ AS time, {told} FROM '{file}'"
    context.progress("lines read")
    return StagedTables({"products": products, "orders": orders}, directed=False)
'''


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """Install a package with a name of its own: Python keeps what it has imported."""
    package = f"lines_{request.node.name}".replace("[", "_").replace("]", "")
    points = {"lines": f"{package}.declaration:LINES", "none": f"{package}.declaration:NO_LOADER"}
    modules = {"declaration": SOURCE.format(package=package), "lines": LINES}
    monkeypatch.syspath_prepend(
        write_package(tmp_path / "site", package, modules, {"twinvec.loaders": points})
    )
    return package


@pytest.fixture
def baskets(tmp_path: Path) -> Path:
    path = tmp_path / "baskets.txt"
    path.write_text("a b\na b c\nc\n", encoding="utf-8")
    return path


@pytest.mark.usefixtures("site")
def test_its_sources_become_snapshots(baskets: Path, ingest_into: Any) -> None:
    assert "lines" in loader_names()
    report = ingest_into(baskets, "lines")
    assert (report.format, report.snapshot.tables["products"]) == ("lines", 3)
    pairs = pq.read_table(report.snapshot.table("copurchase")).to_pylist()
    assert {(pair["source"], pair["target"]): pair["count"] for pair in pairs} == {
        ("a", "b"): 2,
        ("a", "c"): 1,
        ("b", "c"): 1,
    }


@pytest.mark.usefixtures("site")
def test_it_reads_columns_of_its_own(baskets: Path, ingest_into: Any) -> None:
    snapshot = ingest_into(baskets, "lines", columns={"sku": "X-"}).snapshot
    assert set(pq.read_table(snapshot.table("products"))["product_id"].to_pylist()) == {"X-a", "X-b", "X-c"}
    with pytest.raises(ValueError, match="no loader reads a column 'skus'; did you mean sku"):
        ingest_into(baskets, "lines", columns={"skus": "X-"})


@pytest.mark.usefixtures("site")
def test_the_command_knows_it(baskets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TWINVEC_HOME", str(tmp_path / "home"))
    command = CliRunner()
    assert "a basket of product ids a line" in " ".join(
        command.invoke(app, ["ingest", "--help"]).stdout.replace("│", " ").split()
    )
    refused = command.invoke(app, ["ingest", str(baskets), "--format", "line"])
    assert "did you mean lines?" in refused.stderr
    assert command.invoke(app, ["ingest", str(baskets), "--format", "lines"]).exit_code == 0


@pytest.mark.usefixtures("site")
def test_what_is_no_loader_is_named(baskets: Path, ingest_into: Any) -> None:
    with pytest.raises(PluginError, match="registered as the format 'none', is no loader"):
        ingest_into(baskets, "none")

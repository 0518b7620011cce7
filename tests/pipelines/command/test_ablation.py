"""The tables that `twinvec ablate` runs: ours, and one of a package outside the repository."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from pipelines.command import app
from pipelines.comparisons.registered import GROUP, comparison_names, find_comparison
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.synthetic.store import generate
from twinvec.errors import PluginError
from twinvec.settings import Settings, load_settings
from twinvec.workspace import Workspace

OURS = ("alignment", "graph", "image", "links", "models", "related", "text", "waml")
SIZES = """
from dataclasses import dataclass, replace

from pipelines.comparisons.comparison import Column, Comparison


@dataclass(frozen=True)
class Size:
    name: str
    products: int
    share: float | None


def fit(request, name):
    return None if name == "absent" else request.snapshot.tables["products"] // (2 if name == "half" else 1)


def judge(request, name, count, seconds):
    return Size(name, count, None)


def finish(rows):
    return [replace(row, share=row.products / rows[0].products) for row in rows]


COMPARISON = Comparison(
    name="sizes",
    title="Products of {settings.release}",
    columns=(Column("products", "number"), Column("share", "share")),
    rows=lambda: ["all", "half", "absent"],
    prepare=lambda request: request,
    fit=fit,
    judge=judge,
    finish=finish,
    summary=("products",),
    help="How many products there are.",
)
"""


def installed(folder: Path, entry_points: str) -> None:
    """Lay a package out as an installer would: a module, and metadata that register its comparison."""
    (folder / "size_tables.py").write_text(SIZES)
    metadata = folder / "size_tables-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: size-tables\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n{entry_points}\n")


@pytest.mark.parametrize("name", OURS)
def test_the_columns_of_every_table_are_fields_of_its_rows(name: str) -> None:
    comparison = find_comparison(name)
    assert comparison.name == name
    assert comparison.help.endswith(".")
    row_class = getattr(
        inspect.getmodule(comparison.judge), inspect.signature(comparison.judge).return_annotation
    )
    row_fields = {field.name for field in fields(row_class)}
    columns = [column.field for column in comparison.columns]
    assert {column.partition(".")[0] for column in columns} <= row_fields
    assert set(comparison.summary) <= set(columns)
    assert "{" not in comparison.title.format(settings=Settings(), by=comparison.judged_by[0], first="first")


def test_our_tables_are_registered_and_declared_without_heavy_imports() -> None:
    assert set(OURS) <= set(comparison_names())
    script = (
        "import sys; from pipelines.comparisons.registered import described; described(); "
        "assert not {'torch', 'numpy', 'pyarrow', 'sqlalchemy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_only_encoders_are_judged_by_coviews() -> None:
    refused = CliRunner().invoke(app, ["ablate", "links", "--by", "coviews"])
    assert refused.exit_code == 2
    assert "links is not judged by coviews" in " ".join(refused.output.split())


def test_an_unknown_table_is_refused_with_the_names_of_all() -> None:
    refused = CliRunner().invoke(app, ["ablate", "weather"])
    assert refused.exit_code == 1
    assert "there is no comparison 'weather'" in refused.output
    assert all(name in refused.output for name in OURS)


def test_a_table_of_another_package_is_listed_and_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(
        tmp_path,
        "sizes = size_tables:COMPARISON\nwrong = size_tables:SIZES\nno-table = size_tables:fit",
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TWINVEC_HOME", str(tmp_path / "home"))
    workspace = Workspace(load_settings())
    generate(tmp_path / "store", 200, 1, images=False)
    snapshot = ingest(tmp_path / "store", "parquet", workspace.settings, workspace.engine).snapshot
    command = CliRunner()

    listed = " ".join(command.invoke(app, ["ablate", "--help"]).stdout.replace("│", " ").split())
    assert "`sizes`: How many products there are." in listed
    assert "`waml`: " in listed
    assert "`wrong`: cannot be loaded" in listed, "a broken package does not spoil the help"

    done = command.invoke(app, ["ablate", "sizes", "--output", str(tmp_path / "sizes.md")])
    assert done.exit_code == 0, done.output
    assert "absent: the snapshot has nothing for it" in done.stderr
    assert "half: number 100" in done.stderr
    assert (tmp_path / "sizes.md").read_text() == (
        f"Products of {workspace.settings.release}, on snapshot `{snapshot.id}`.\n\n"
        "|  | number | share |\n| --- | --- | --- |\n| all | 200 | 1.0000 |\n| half | 100 | 0.5000 |\n"
    )
    as_json = command.invoke(app, ["ablate", "sizes", "--row", "half", "--json"])
    assert json.loads(as_json.stdout) == [{"name": "half", "products": 100, "share": 1.0}]
    client = MlflowClient(workspace.settings.tracking_uri())
    experiment = client.get_experiment_by_name("twinvec/comparisons")
    assert experiment is not None
    logged = [(run.info.run_name, run.data.metrics) for run in client.search_runs([experiment.experiment_id])]
    assert ("half", {"products": 100.0, "share": 0.5}) in logged

    refused = command.invoke(app, ["ablate", "sizes", "--row", "third"])
    assert refused.exit_code == 1
    assert "rows are: all, half, absent" in refused.output
    with pytest.raises(PluginError, match="no Comparison"):
        find_comparison("no-table")
    workspace.engine.dispose()

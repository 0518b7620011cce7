from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import twinvec
from pipelines.command import COMMANDS, app
from pipelines.command.app import explain
from pipelines.command.output import cell, plain
from twinvec import columns

HEAVY = {
    "torch",
    "feast",
    "mlflow",
    "dgl",
    "duckdb",
    "pandas",
    "sqlalchemy",
    "numpy",
    "qdrant_client",
    "fastapi",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in [name for name in os.environ if name.startswith("TWINVEC_")]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TWINVEC_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def command() -> CliRunner:
    return CliRunner()


def write_catalogue(folder: Path) -> Path:
    folder.mkdir()
    ids = ["a", "b", "c", "d"]
    rows = {
        "product_id": ids,
        "title": [[("en", f"thing {each}")] for each in ids],
        "category": [["All"]] * 4,
        "price": [1.0, 2.0, 3.0, None],
        "currency": ["EUR"] * 4,
        "marketplace": ["es", "es", "", "es"],
        "brand": [None] * 4,
        "image": [None] * 4,
    }
    pq.write_table(pa.table(rows, schema=columns.PRODUCTS), folder / "products.parquet")
    pairs = {"source": ["a", "a", "b"], "target": ["b", "c", "a"], "count": [3, 1, 2]}
    pq.write_table(pa.table(pairs, schema=columns.PAIRS), folder / "copurchase.parquet")
    return folder


@pytest.mark.parametrize("arguments", [["--help"], ["settings"], ["--version"], ["run", "--help"]])
def test_what_needs_nothing_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\nfrom pipelines.command import app\n"
        f"app({arguments!r}, standalone_mode=False)\n"
        f"loaded = {HEAVY!r} & set(sys.modules)\nassert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)


def test_the_command_is_installed_and_starts_within_a_second_of_cpu() -> None:
    before = os.times()
    done = subprocess.run(
        [Path(sys.executable).parent / "twinvec", "--help"], check=True, capture_output=True, text=True
    )
    after = os.times()
    assert all(name in done.stdout for name in COMMANDS)
    used = after.children_user + after.children_system - before.children_user - before.children_system
    assert used < 1


def test_every_command_has_help(command: CliRunner) -> None:
    assert set(COMMANDS) == {
        "demo", "import", "ingest", "run", "train", "evaluate", "ablate", "align",
        "publish", "promote", "rollback", "update", "prune", "doctor", "lineage", "drift",
        "plot", "related", "relevance", "serve", "similar", "transfer", "settings", "status",
    }  # fmt: skip
    for name in COMMANDS:
        result = command.invoke(app, [name, "--help"])
        assert result.exit_code == 0
        assert (COMMANDS[name].__doc__ or "").splitlines()[0].split(":")[0][:40] in result.stdout
        if name != "serve":
            assert "--json" in result.stdout
    assert command.invoke(app, ["--version"]).stdout.strip() == twinvec.__version__


def test_settings_are_shown_with_secrets_masked(
    command: CliRunner, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setenv("TWINVEC_QDRANT__API_KEY", "open-sesame")
    monkeypatch.setenv("TWINVEC_REGISTRY__URL", "postgresql://me:hunter2@db/registry")
    monkeypatch.setenv("TWINVEC_RELATED__DIMENSION", "77")
    as_json = command.invoke(app, ["settings", "--json"])
    shown = json.loads(as_json.stdout)
    assert shown["home"]["value"] == str(home)
    assert shown["related.dimension"]["value"] == 77
    assert shown["qdrant.api_key"]["value"] == "**********"
    assert all(row["description"] for row in shown.values())
    table = command.invoke(app, ["settings"]).stdout
    for text in (as_json.stdout, table):
        assert "hunter2" not in text
        assert "open-sesame" not in text
    assert "qdrant.api_key" in table
    assert "10000" in table, "a setting is shown as it is written"


def test_an_ingest_reports_what_it_kept(command: CliRunner, tmp_path: Path) -> None:
    source = write_catalogue(tmp_path / "source")
    arguments = ["ingest", str(source), "--format", "parquet"]
    refused = command.invoke(app, arguments)
    assert refused.exit_code == 1
    assert "error: " in refused.stderr

    environment = {"TWINVEC_INGEST__MAX_QUARANTINED": "0.5"}
    first = json.loads(command.invoke(app, [*arguments, "--json"], env=environment).stdout)
    assert first["new"]
    assert first["tables"]["products"] == 3
    assert first["quarantined"]["products"] == {"no marketplace": 1}
    assert first["left_out"]["copurchase"] == {"unknown product": 1}
    assert first["fields"]["products"]["price"] == 2
    second = command.invoke(app, arguments, env=environment)
    assert f"Snapshot {first['snapshot']} (known already)" in second.stdout
    assert "no marketplace" in second.stdout
    assert "checking rows" in second.stderr
    listed = json.loads(command.invoke(app, ["status", "--json"]).stdout)
    assert [row["snapshot"] for row in listed["snapshots"]] == [first["snapshot"]]
    assert {stage["space"]: stage["stale"] for stage in listed["stages"]} == {
        "category": False, "graph": True, "text": True, "image": False, "aligned": True, "related": True,
        "ranking": True,
    }  # fmt: skip
    reasons = {stage["space"]: stage["reason"] for stage in listed["stages"]}
    assert reasons["text"] == "not made yet"
    assert reasons["image"] == "skipped: no product has an image"


def test_an_empty_home_says_what_to_do_first(command: CliRunner) -> None:
    for arguments, says, hint in (
        (["run"], "there is no snapshot yet", "twinvec ingest"),
        (["train", "text"], "there is no snapshot yet", "twinvec ingest"),
        (["evaluate"], "there is no version related", "`twinvec train related` makes one; `twinvec status`"),
        (["evaluate", "related@v3"], "there is no version related@v3", "hint: `twinvec status`"),
        (["publish"], "there is no version related", "twinvec status"),
        (["promote"], "there is no release of related_products to promote", "twinvec publish"),
        (["promote", "3"], "there is no release 3", "none yet"),
        (["rollback"], "there is no release of related_products to go back to", "twinvec status"),
        (["related", "x"], "no release of related_products is live", "twinvec publish"),
    ):
        result = command.invoke(app, arguments)
        assert (result.exit_code, result.stdout) == (1, ""), arguments
        message, following = result.stderr.splitlines()
        assert message.startswith(f"error: {says}")
        assert following.startswith("  hint: ")
        assert hint in following
    status = command.invoke(app, ["status"])
    assert status.exit_code == 0
    assert status.stdout.count("none yet") == 4
    assert json.loads(command.invoke(app, ["status", "--json"]).stdout)["live"] is None


def test_what_cannot_be_used_is_one_message(
    command: CliRunner, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(variable: str, value: str, *arguments: str) -> str:
        with monkeypatch.context() as patch:
            patch.setenv(variable, value)
            result = command.invoke(app, arguments or ["status"])
        assert result.exit_code == 1
        assert result.stdout == ""
        assert "Traceback" not in result.stderr
        return result.stderr

    assert "TWINVEC_HOMES is not a setting" in fails("TWINVEC_HOMES", "x", "settings")
    closed = fails("TWINVEC_REGISTRY__URL", "postgresql+psycopg://me:hunter2@127.0.0.1:1/none")
    assert "error: a database cannot be used: connection failed" in closed
    assert "hunter2" not in closed
    assert "a database cannot be used: Could not parse" in fails("TWINVEC_REGISTRY__URL", "nonsense")
    (tmp_path / "file").touch()
    assert "home" in fails("TWINVEC_HOME", str(tmp_path / "file"))
    (home / "registry.db").write_text("not a database, whatever its name says" * 100)
    assert "file is not a database" in fails("TWINVEC_HOME", str(home))


def test_a_traceback_only_when_asked_for(command: CliRunner) -> None:
    result = command.invoke(app, ["--debug", "promote", "3"])
    assert type(result.exception).__name__ == "NotFoundError"
    whole = subprocess.run(
        [sys.executable, "-c", "from pipelines.command import main; main()", "--debug", "promote", "3"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert whole.returncode == 1
    assert "Traceback" in whole.stderr
    assert explain(ZeroDivisionError()) is None, "an error of ours is not hidden"


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["ingest"],
        ["ingest", "x"],
        ["related", "x", "-k", "0"],
        ["related", "x", "--min-price", "cheap"],
        ["related"],
        ["related", "--in-category", "Hats"],
        ["related", "x", "--title", "Blue suede shoes"],
        ["related", "x", "--category", "Hats"],
        ["evaluate", "text", "--edges", "x.csv"],
    ],
)
def test_wrong_usage_exits_with_2(command: CliRunner, arguments: list[str]) -> None:
    result = command.invoke(app, arguments)
    assert result.exit_code == 2
    assert result.stdout == ""


def test_an_unknown_space_names_those_there_are(command: CliRunner, tmp_path: Path) -> None:
    source = write_catalogue(tmp_path / "source")
    environment = {"TWINVEC_INGEST__MAX_QUARANTINED": "0.5"}
    command.invoke(app, ["ingest", str(source), "-f", "parquet"], env=environment)
    result = command.invoke(app, ["train", "texts"])
    assert result.exit_code == 1
    assert "there is no space 'texts'" in result.stderr
    assert "aligned, search_nodes, neighbourhoods, related" in result.stderr
    for option in ("--model", "--recipe"):
        refused = command.invoke(app, ["train", "related", option, "paperr"])
        assert refused.exit_code == 1
        assert "related.recipe" in refused.stderr
        assert "'lightgcn'" in refused.stderr


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_leaves_nothing_half_written(home: Path, sent: signal.Signals, status: int) -> None:
    # A large store, so that there is time to interrupt it.
    process = subprocess.Popen(
        [Path(sys.executable).parent / "twinvec", "demo", "--size", "large"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # A shell starts what it runs in the background, such as this test, deaf to interrupts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    try:
        assert process.stderr.readline().startswith("products: ")
        process.send_signal(sent)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == status
    assert stdout == ""
    assert "Traceback" not in stderr
    assert list((home / "demo").iterdir()) == []


def test_a_training_that_is_told_to_end_has_failed(
    command: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_catalogue(tmp_path / "source")
    environment = {"TWINVEC_INGEST__MAX_QUARANTINED": "0.5"}
    command.invoke(app, ["ingest", str(source), "-f", "parquet"], env=environment)
    monkeypatch.setattr("pipelines.text.pipeline.train", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    handler = signal.getsignal(signal.SIGTERM)
    assert command.invoke(app, ["train", "text"]).exit_code == 143
    versions = json.loads(command.invoke(app, ["status", "--json"]).stdout)["versions"]
    (text,) = (each for each in versions if each["version"].startswith("text@"))
    assert (text["state"], text["error"]) == ("failed", "Terminated: 143")
    assert signal.getsignal(signal.SIGTERM) is handler


def test_figures_become_plain_json() -> None:
    assert plain({"a": (1, float("nan")), "b": float("inf"), 3: Path("x"), "c": True}) == {
        "a": [1, None],
        "b": None,
        "3": "x",
        "c": True,
    }
    assert [cell(value) for value in (None, True, 12345, 0.25, ("a", "b"))] == [
        "–", "yes", "12,345", "0.2500", "a > b",
    ]  # fmt: skip

"""Each thing damaged for real: the doctor names it, says how to mend it, and `--fix` does."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast.infra.provider import get_provider
from mlflow import MlflowClient
from typer.testing import CliRunner

from pipelines.command import app
from registry import journal, operations
from registry.database import migrate, transaction
from registry.models import Release, State, Version
from twinvec import releases, tracking
from twinvec.doctor import Finding, diagnose, mend
from twinvec.errors import StoreError
from twinvec.features.store import apply_release, apply_version, find_service
from twinvec.releases import stores
from twinvec.releases.attempts import lock_file
from twinvec.settings import QdrantSettings, Settings, TextSettings
from twinvec.vectors.locks import take_lock
from twinvec.workspace import Workspace

NAME = "related_products"
# The home: release n is of related@vn, 4 is live, of text@v1, and 3 was before it. text@v1 and related@v1 and @v2 have
# models.


def told(findings: list[Finding]) -> dict[str, str]:
    return {finding.where: finding.what for finding in findings}


def version(workspace: Workspace, name: str) -> Version:
    with transaction(workspace.engine) as session:
        found = operations.find_version(session, name)
    assert found is not None
    return found


def rewritten(part: Path, change: Any) -> None:
    pq.write_table(change(pq.read_table(part)), part)


def forget_online(workspace: Workspace, name: str) -> None:
    view = workspace.features.get_feature_view(name)
    for gone, there in (([view], []), ([], [view])):
        get_provider(workspace.features.config).update_infra(
            workspace.features.project, gone, there, [], [], partial=True
        )


def age(path: Path) -> None:
    for each in (path, *path.rglob("*")):
        os.utime(each, (time.time() - 7200,) * 2)


def test_nothing_is_wrong_with_a_home_as_it_is(old: Workspace, tmp_path: Path) -> None:
    began = time.monotonic()
    assert told(diagnose(old.settings)) == {}
    assert time.monotonic() - began < 20, "seconds, on a busy machine too"
    assert told(diagnose(old.settings, deep=True)) == {}
    empty = Settings(home=tmp_path / "empty")
    assert told(diagnose(empty)) == {}
    assert not empty.home.exists()


def test_what_can_be_mended_is(anywhere: Workspace) -> None:
    old = anywhere
    home, features = old.settings.home, old.features
    expected: dict[str, str] = {}

    def damaged(where: str, what: str) -> None:
        expected[where] = what

    old.index.switch_alias(NAME, f"{NAME}__v2")
    damaged(f"alias {NAME}", f"points at {NAME}__v2, and {NAME}@v4 is live")
    features.delete_feature_service(NAME)
    damaged(f"service {NAME}", "is not there")
    with transaction(old.engine) as session:
        second = session.get_one(Release, 2)
        second.collection = f"{NAME}__v3"  # for a moment: a service of another release's name
        made_from = operations.lineage(second.version)
        apply_release(features, second, made_from, live=False)
        session.rollback()
    damaged(f"service {NAME}__v3", "has the views")
    features.delete_feature_view("text__v3")
    damaged("view text__v3", "is not there")
    moved = version(old, "text@v2")
    moved.path = str(home / "elsewhere")
    shutil.copytree(home / "versions/text/v2", home / "elsewhere")
    apply_version(features, moved)
    damaged("view text__v2", f"is over {home}/elsewhere/vectors, not {home}/versions/text/v2/vectors")
    tracking.remove_alias(old.settings, "text", "live")
    damaged("alias live of text", "names nothing, and the live release has models:/text/1")
    tracking.set_alias(old.settings, "models:/related/1", "live")
    damaged("alias live of related", "names models:/related/1, and the live release has no model of it")
    (home / "versions/related/v4/manifest.json").unlink()
    damaged("related@v4", "has no manifest.json that can be read")
    forget_online(old, "text__v1")
    damaged("view text__v1", "has no row of")
    shutil.rmtree(home / f"qdrant/{NAME}__v1")
    damaged(f"collection {NAME}__v1", f"is not there, and {NAME}@v1 is retired")
    shutil.copytree(home / f"qdrant/{NAME}__v2", home / f"qdrant/{NAME}__v9")
    damaged(f"collection {NAME}__v9", "is of no release in the registry")
    shutil.copytree(home / "versions/text/v1", home / "versions/text/v9")
    damaged(f"{home}/versions/text/v9", "is of no version in the registry")
    stranger = version(old, "text@v1")
    stranger.number = 9
    apply_version(features, stranger)
    damaged("view text__v9", "is of no version or snapshot in the registry")
    shutil.copytree(home / "snapshots" / stranger.snapshot_id, home / "snapshots" / ("f" * 16))
    damaged(f"{home}/snapshots/{'f' * 16}", "is of no snapshot in the registry")
    left = home / f"versions/text/.v7.{'0' * 32}"
    (left / "vectors").mkdir(parents=True)
    (left / "vectors" / "part.parquet").write_bytes(b"half")
    age(left)
    damaged(str(left), "was left by a process that was killed")
    with transaction(old.engine) as session:
        failed = operations.begin_version(
            session, "aligned", stranger.snapshot_id, "f", [], f"{home}/versions/aligned/v1"
        )
        operations.move(session, failed, State.FAILED, "Feast did not answer")
    (home / "versions/aligned/v1").mkdir(parents=True)
    damaged(f"{home}/versions/aligned/v1", "is left of aligned@v1, which was removed or failed")
    checkpoints = home / f"checkpoints/text-{version(old, 'text@v1').fingerprint}"
    checkpoints.mkdir(parents=True)
    damaged(str(checkpoints), "has checkpoints of text@v1, which is ready")
    old.index.close()

    found = diagnose(old.settings)
    assert {
        where: what for where, what in told(found).items() if not what.startswith(expected.get(where, "?"))
    } == {}
    assert told(found).keys() == expected.keys()
    assert all(finding.fix is not None and finding.mend for finding in found)
    done = mend(old.settings)
    assert told(list(done.left)) == {}
    assert not done.refused
    # What could only be looked at once there was a live service, and is left of what was written off.
    assert set(told(list(done.mended))) - set(expected) == {f"service {NAME}__v1"}
    assert stores.alias_at(old, NAME) == f"{NAME}__v4"
    service = find_service(old.features, NAME)
    assert service is not None
    assert service.tags["collection"] == f"{NAME}__v4"
    assert (home / "orphans/versions/text/v9/manifest.json").is_file(), (
        "what cannot be made again is kept aside"
    )
    assert not left.exists()
    assert releases.find(old, "1").state == State.REMOVED
    releases.rollback(old)


def test_what_cannot_be_mended_is_named_with_what_to_do(old: Workspace) -> None:
    home = old.settings.home
    shutil.rmtree(home / f"qdrant/{NAME}__v4")
    with transaction(old.engine) as session:
        third = session.get_one(Release, 3)
        third.verification = {**third.verification, "points": 301}
        making = operations.begin_version(
            session, "text", third.version.snapshot_id, "f", [], f"{home}/nowhere"
        )
        making.number = 0  # before those that are ready
        operations.begin_release(session, NAME, session.get_one(Version, third.version_id))
    shutil.rmtree(home / "versions/text/v2")
    rewritten(home / "versions/text/v1/vectors/part-00000.parquet", lambda table: table.slice(1))
    (home / "versions/related/v1/vectors/part-00000.parquet").write_bytes(b"PAR1")
    manifest = json.loads((home / "versions/text/v3/manifest.json").read_text())
    (home / "versions/text/v3/manifest.json").write_text(json.dumps(manifest | {"model": "another"}))
    MlflowClient().delete_run(str(version(old, "text@v3").run_id))
    shutil.rmtree(next((home / "mlartifacts/related/models").glob("*")))
    MlflowClient().delete_model_version("text", "1")
    young = home / f"versions/text/.v7.{'0' * 32}"
    young.mkdir()
    old.index.close()
    found = [finding for finding in diagnose(old.settings) if finding.fix is None]
    assert all(finding.mend for finding in found)
    lines = [f"{finding.where} {finding.what}" for finding in found]
    for expected in (
        f"collection {NAME}__v4 is not there, and {NAME}@v4 is live",
        f"collection {NAME}__v3 holds 300 points, not 301 as verified",
        "text@v2 is ready, but",
        "text@v1 has 299 vectors, not 300",
        "related@v1 has a damaged file",
        "text@v3 is manifest",
        "text@v0 is building since",
        f"{NAME}@v5 is building, begun by somebody",
    ):
        assert [line for line in lines if line.startswith(expected)], (expected, lines)
    assert [line for line in lines if "whose files are gone" in line]
    mended = {finding.what for finding in diagnose(old.settings) if finding.fix is not None}
    assert "has the model models:/text/1, which is not registered" in mended
    assert [
        what for what in mended if what.startswith("was made by run") and what.endswith("which was deleted")
    ]
    assert not [line for line in lines if str(young) in line], "somebody may be writing into it"
    assert {f.mend for f in found if f.where == f"{NAME}@v5"} == {
        "twinvec publish related@v3 finishes it, unless another machine is doing that"
    }
    with take_lock(lock_file(old.settings, NAME), "publishing", exclusive=True):
        assert f"{NAME}@v5" not in told(diagnose(old.settings))


def test_vectors_are_read_if_asked(old: Workspace) -> None:
    part = old.settings.home / "versions/text/v2/vectors/part-00000.parquet"

    def spoil(table: pa.Table) -> pa.Table:
        vectors = table["text_vector"].to_pylist()
        vectors[7] = [float("nan")] * len(vectors[7])
        keys = table["product_id"].to_pylist()
        keys[8] = keys[9]
        names = pa.array(keys, pa.string())
        spoiled = pa.array(vectors, pa.list_(pa.float32()))
        return table.set_column(0, "product_id", names).set_column(1, "text_vector", spoiled)

    rewritten(part, spoil)
    snapshot = Path(version(old, "text@v2").snapshot.path)
    rewritten(
        snapshot / "products.parquet",
        lambda table: table.set_column(3, "price", pa.array(np.ones(300), pa.float64())),
    )
    assert told(diagnose(old.settings)) == {}
    found = diagnose(old.settings, deep=True)
    assert [f"{finding.where} {finding.what}" for finding in found if finding.where == "text@v2"] == [
        "text@v2 has other contents than were written in vectors/part-00000.parquet",
        "text@v2 has vectors that are not 12 finite numbers",
        "text@v2 has 1 keys twice",
    ]
    assert "has other contents" in told(found)[f"snapshot {snapshot.name}"]


def test_files_of_a_version_that_were_lost_or_changed_are_told(old: Workspace) -> None:
    folder = old.settings.home / "versions/related/v4"
    part = folder / "vectors" / "part-00000.parquet"
    contents = part.read_bytes()
    assert version(old, "related@v4").files == {
        "vectors/part-00000.parquet": hashlib.sha256(contents).hexdigest()
    }
    (folder / "map.arrow").write_bytes(b"drawn since")
    assert told(diagnose(old.settings, deep=True)) == {}
    # The same rows in other bytes.
    pq.write_table(pq.read_table(part), part, compression="gzip")
    assert told(diagnose(old.settings)) == {}
    assert told(diagnose(old.settings, deep=True)) == {
        "related@v4": "has other contents than were written in vectors/part-00000.parquet"
    }
    part.unlink()
    found = [finding for finding in diagnose(old.settings) if finding.where == "related@v4"]
    assert [finding.what for finding in found] == ["has lost vectors/part-00000.parquet"]
    assert found[0].mend == "bring it back from a backup, or twinvec train related --force"


def test_a_switch_that_was_left_is_settled(old: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:

    def refuse(*_arguments: object) -> None:
        raise StoreError("Qdrant does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(stores, "set_alias", refuse)
        with pytest.raises(StoreError):
            releases.promote(old, releases.find(old, "2"), force=True)
    old.index.close()
    found = told(diagnose(old.settings))
    assert list(found) == [f"the switch to {NAME}@v2"], "what is live cannot be judged until it has ended"
    assert "left at the step alias" in found[f"the switch to {NAME}@v2"]
    done = mend(old.settings)
    assert not done.left
    with transaction(old.engine) as session:
        assert journal.unfinished(session, NAME) is None
        live = operations.live_release(session, NAME)
    assert live is not None
    assert live.number == 4


def test_stores_that_do_not_answer_are_findings(old: Workspace, tmp_path: Path) -> None:
    settings = old.settings.model_copy(
        update={
            "qdrant": QdrantSettings(url="http://127.0.0.1:9", timeout=1),
            "text": TextSettings(model="no-such-model"),
        }
    )
    found = diagnose(settings)
    assert {finding.store for finding in found} >= {"settings", "Qdrant"}
    assert "cannot be looked at: Qdrant could not list the" in told(found)["Qdrant"]
    assert "huggingface-cli download sentence-transformers/no-such-model" in found[0].mend
    shutil.rmtree(old.settings.home / "qdrant")
    empty = [each for each in diagnose(old.settings) if each.where.startswith("collection")]
    assert len(empty) == 4
    assert not any(each.fix for each in empty), "none of them there: it may be the wrong index"
    gone = Settings(home=tmp_path / "home")
    (gone.home / "versions" / "text").mkdir(parents=True)
    (missing,) = diagnose(gone)
    assert "is not there, but the home has snapshots or versions" in missing.what
    assert missing.fix is None


def test_tables_are_brought_up_to_date(old: Workspace) -> None:
    migrate(old.engine, "0001")
    (behind,) = diagnose(old.settings)
    assert behind.what.startswith("has tables of revision 0001, not ")
    assert told(list(mend(old.settings).left)) == {}


def test_the_command_lists_mends_and_tells_by_its_exit_code(
    old: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    old.index.switch_alias(NAME, f"{NAME}__v2")
    with transaction(old.engine) as session:
        snapshot = version(old, "text@v1").snapshot_id
        operations.begin_version(session, "text", snapshot, "f", [], "/nowhere").number = 0
    old.index.close()
    monkeypatch.setenv("TWINVEC_HOME", str(old.settings.home))

    def doctor(*options: str) -> Any:
        result = CliRunner().invoke(app, ["doctor", *options], catch_exceptions=False)
        return result.exit_code, result.stdout

    code, text = doctor()
    assert code == 1
    assert f"points at {NAME}__v2, and {NAME}@v4 is live" in " ".join(text.split())
    code, text = doctor("--fix", "--json")
    assert code == 1
    printed = json.loads(text)
    assert [each["where"] for each in printed["mended"]] == [f"alias {NAME}"]
    assert [each["mend"] for each in printed["findings"]] == [
        "if no training makes it: twinvec doctor --abandon text@v0"
    ]
    code, text = doctor("--abandon", "text@v0")
    assert (code, text.strip()) == (0, "Nothing is wrong")

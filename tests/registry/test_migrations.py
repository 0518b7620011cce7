from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.config import main as alembic
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, make_url, select, text
from sqlalchemy.exc import IntegrityError

from registry.database import (
    RegistryError,
    current_revision,
    latest_revision,
    migrate,
    open_engine,
    transaction,
)
from registry.models import Base, Release, Snapshot, State, Version
from registry.snapshots import latest_snapshot, snapshot_times

ROOT = Path(__file__).parents[2]


def tables(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names()) - {"alembic_version"}


def scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(Config(toml_file=str(ROOT / "pyproject.toml")))


def test_up_and_down(empty: Engine) -> None:
    migrate(empty)
    assert tables(empty) == set(Base.metadata.tables)
    with empty.connect() as connection:
        assert current_revision(connection) == latest_revision()

    migrate(empty, "base")
    assert tables(empty) == set()

    migrate(empty)
    assert tables(empty) == set(Base.metadata.tables)


def test_each_revision_goes_up_and_down(empty: Engine) -> None:
    revisions = [script.revision for script in scripts().walk_revisions()][::-1]
    for revision in [*revisions, *revisions[-2::-1]]:
        migrate(empty, revision)
        with empty.connect() as connection:
            assert current_revision(connection) == revision


def test_models_equal_the_migrated_tables(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_names_of_constraints_equal_the_models(engine: Engine) -> None:
    for table in Base.metadata.sorted_tables:
        found = inspect(engine)
        assert found.get_pk_constraint(table.name)["name"] == table.primary_key.name
        assert {key["name"] for key in found.get_foreign_keys(table.name)} == {
            key.name for key in table.foreign_key_constraints
        }


def test_head_is_found_without_alembic() -> None:
    assert scripts().get_heads() == [latest_revision()]


def test_rows_survive_migrating_again(
    engine: Engine, new_version: Callable[..., Version], new_release: Callable[..., Release]
) -> None:
    with transaction(engine) as session:
        text_version = new_version(session, "text")
        text_version.manifest = {"dimension": 384, "metric": "cosine"}
        new_version(session, "aligned", text_version)
        new_release(session)
    migrate(engine)
    with transaction(engine) as session:
        aligned = session.scalars(select(Version).where(Version.space == "aligned")).one()
        assert [version.name for version in aligned.inputs] == ["text@v1"]
        assert aligned.inputs[0].manifest == {"dimension": 384, "metric": "cosine"}
        assert aligned.snapshot.report == {"read": 8}
        assert session.scalars(select(Release.collection)).all() == ["related_products__v1"]


def test_paths_are_relative_to_the_home(tmp_path: Path) -> None:
    url, home = f"sqlite:///{tmp_path / 'registry.db'}", tmp_path
    engine = open_engine(url)
    migrate(engine, "0004")
    absolute = {
        "1": "/once/upon/a home/snapshots/0123456789abcdef",
        "2": "/elsewhere/0123456789abcdef",
        "3": f"{home}/snapshots/fedcba9876543210",
    }
    columns = "id, path, source, format, products, report, created_at, ingested_at"
    with engine.begin() as connection:
        for key, path in absolute.items():
            connection.execute(
                text(f"INSERT INTO snapshots ({columns}) VALUES (:id, :path, '', '', 1, '{{}}', :at, :at)"),
                {"id": key, "path": path, "at": "2026-01-01 00:00:00.000000"},
            )
    migrate(engine)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT id, path FROM snapshots"))
        kept = {key: path for key, path in rows}  # noqa: C416
    assert kept == {
        "1": "snapshots/0123456789abcdef",
        "2": absolute["2"],
        "3": "snapshots/fedcba9876543210",
    }
    for place in (home, tmp_path / "another"):
        with transaction(open_engine(url, place)) as session:
            read = {row.id: row.path for row in session.scalars(select(Snapshot))}
            assert read == {key: path if path[0] == "/" else f"{place}/{path}" for key, path in kept.items()}
    migrate(engine, "0004")
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT id, path FROM snapshots"))
        back = {key: path for key, path in rows}  # noqa: C416
    assert back == {**absolute, "1": f"{home}/snapshots/0123456789abcdef"}
    engine.dispose()


def test_a_live_release_needs_its_name_for_itself(
    engine: Engine, new_release: Callable[..., Release]
) -> None:
    with transaction(engine) as session:
        new_release(session).state = State.LIVE
        new_release(session)
        new_release(session, "other_products").state = State.LIVE
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(text("UPDATE releases SET state = 'live' WHERE number = 2"))
    with engine.begin() as connection:  # any number may be retired
        connection.execute(text("UPDATE releases SET state = 'retired'"))


def test_foreign_keys_are_enforced(engine: Engine, new_version: Callable[..., Version]) -> None:
    with transaction(engine) as session:
        new_version(session, "text")
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(text("DELETE FROM snapshots"))


def test_a_failed_migration_leaves_nothing(empty: Engine) -> None:
    with empty.begin() as connection:
        connection.execute(text("CREATE TABLE aliases (name TEXT)"))  # the last table the migration creates
    with pytest.raises(Exception, match="already exists"):
        migrate(empty)
    assert tables(empty) == {"aliases"}


def test_tables_from_a_newer_release_are_refused(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(RegistryError, match=r"9999.*update Twinvec"):
        migrate(engine)


def test_logging_is_left_alone(empty: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    mine = logging.getLogger("a.logger.made.before")
    before = (logging.root.level, list(logging.root.handlers), mine.disabled)
    migrate(empty)
    assert (logging.root.level, list(logging.root.handlers), mine.disabled) == before
    assert capfd.readouterr() == ("", "")


MIGRATE = "import sys; from registry.database import *; migrate(open_engine(sys.argv[1]))"


def test_processes_that_start_together(url: str) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", MIGRATE, url], stderr=subprocess.PIPE, text=True, cwd=ROOT)
        for _ in range(4)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    engine = open_engine(url)
    assert tables(engine) == set(Base.metadata.tables)
    engine.dispose()


def test_tables_up_to_date_do_not_import_alembic(engine: Engine, url: str) -> None:
    script = f"{MIGRATE}; assert 'alembic' not in sys.modules"
    subprocess.run([sys.executable, "-c", script, url], check=True, cwd=ROOT)


def test_the_alembic_command_uses_the_settings(
    empty: Engine, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWINVEC_REGISTRY__URL", url)
    monkeypatch.chdir(ROOT)
    alembic(["upgrade", "head"])
    assert tables(empty) == set(Base.metadata.tables)
    alembic(["check"])  # exits if the models say otherwise
    alembic(["downgrade", "base"])
    assert tables(empty) == set()


def test_a_new_revision_gets_the_next_number(
    engine: Engine, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWINVEC_REGISTRY__URL", url)
    shutil.copytree(ROOT / "migrations", tmp_path / "migrations")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    monkeypatch.chdir(tmp_path)
    alembic(["revision", "-m", "price history"])
    number = f"{int(latest_revision()) + 1:04}"
    assert (tmp_path / "migrations" / "versions" / f"{number}_price_history.py").is_file()


def test_paths_with_a_per_cent_sign(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / '100%' / 'registry.db'}")
    migrate(engine)
    with transaction(engine) as session:
        assert session.scalars(select(Snapshot)).all() == []
    assert make_url(str(engine.url)).database == str(tmp_path / "100%" / "registry.db")
    engine.dispose()


def test_older_snapshots_are_of_the_times_of_their_ingests(empty: Engine) -> None:
    migrate(empty, "0006")
    ingests = {"a": ("01", "05"), "b": ("02", "02"), "c": ("03", "04")}
    columns = "id, path, source, format, products, report, created_at, ingested_at"
    rest = "00:00:00+00" if empty.dialect.name == "postgresql" else "00:00:00.000000"
    insert = f"INSERT INTO snapshots ({columns}) VALUES (:id, :id, '', '', 1, '{{}}', :first, :last)"
    with empty.begin() as connection:
        for key, (first, last) in ingests.items():
            times = {"first": f"2026-01-{first} {rest}", "last": f"2026-01-{last} {rest}"}
            connection.execute(text(insert), {"id": key, **times})
    migrate(empty)
    with transaction(empty) as session:
        moments = snapshot_times(session)
        latest = latest_snapshot(session)
    # The second ingest of `c` changed nothing; that of `a` went back to it.
    assert [(each.snapshot_id, each.as_of.day, each.stated) for each in moments] == [
        ("a", 1, False),
        ("b", 2, False),
        ("c", 3, False),
        ("a", 5, False),
    ]
    assert latest is not None
    assert latest.id == "a"

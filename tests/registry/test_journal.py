from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from registry import journal, operations
from registry.database import RegistryError, held, transaction
from registry.models import Release, Switch

ROOT = Path(__file__).parents[2]
NAME = "related_products"
MODELS = {"text": {"live": "models:/text/1", "previous": None}}


@pytest.fixture
def switch(engine: Engine, new_release: Callable[..., Release]) -> Switch:
    with transaction(engine) as session:
        old, new = new_release(session), new_release(session)
        operations.make_live(session, old)
        return journal.begin(session, old, new, "models", MODELS, "better", "ada@engine")


def test_a_switch_is_written_reached_and_struck_out(engine: Engine, switch: Switch) -> None:
    with transaction(engine) as session:
        journal.reach(session, switch, "alias")
    with transaction(engine) as session:
        found = journal.unfinished(session, NAME)
        assert journal.unfinished(session, "another") is None
    assert found is not None
    assert found.old is not None
    assert (found.old.label, found.new.label) == (f"{NAME}@v1", f"{NAME}@v2")
    assert (found.step, found.models, found.who, found.why) == ("alias", MODELS, "ada@engine", "better")
    with transaction(engine) as session:
        journal.end(session, switch)
        assert journal.unfinished(session, NAME) is None


def test_one_switch_a_name(engine: Engine, switch: Switch, new_release: Callable[..., Release]) -> None:
    with pytest.raises(IntegrityError), transaction(engine) as session:
        journal.begin(session, None, new_release(session), "models", {}, "at once")
    with transaction(engine) as session:
        other = journal.begin(session, None, new_release(session, "other"), "models", {}, "elsewhere")
        assert other.who == operations.whoami()


def test_who_lost_the_switch_goes_no_further(engine: Engine, switch: Switch) -> None:
    with transaction(engine) as session:
        journal.end(session, switch)
    for step in (journal.end, lambda session, row: journal.reach(session, row, "alias")):
        with pytest.raises(RegistryError, match="ended by another process"), transaction(engine) as session:
            step(session, switch)


HOLD = """
import sys, time
from registry.database import held, open_engine
with held(open_engine(sys.argv[1]), "a switch") as ours:
    print(ours, flush=True)
    time.sleep(60)
"""


def test_a_held_name_is_held_between_processes_and_dies_with_one(
    engine: Engine, url: str, record_property: Callable[[str, object], None]
) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, url], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    with held(engine, "a switch") as ours, held(engine, "another switch") as other:
        assert (ours, other) == (False, True)
    process.kill()
    process.wait()
    process.stdout.close()
    for _ in range(100):  # the server sees a dead client a moment later
        with held(engine, "a switch") as ours:
            if ours:
                break
    assert ours
    with held(engine, "a switch") as first, held(engine, "a switch") as second:
        assert (first, second) == (True, False), "nor is it shared within a process"
    with held(engine, "a switch") as again:
        assert again
    record_property(
        "fault",
        {
            "fault": "a process that holds the lock of a switch killed; SQLite and PostgreSQL",
            "killed": 1,
            "seen": "the next gets it",
        },
    )

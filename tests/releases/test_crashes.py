"""Processes killed at every step of a switch, and what the next command makes of it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import forked
from tests.homes import copied
from tests.releases import switcher
from twinvec import releases
from twinvec.settings import Settings
from twinvec.workspace import Workspace

SELLERS = "seller_recommendations"
UNSEEN = [
    "journal after",
    "service before",
    "service after",
    *(f"model after {n}" for n in (1, 2, 3, 4)),
    "alias before",
]
SEEN = ["alias after", "strike after", "registry after", "all after"]


def run(home: Path, command: str, die: str | None = None, name: str = "related_products") -> Any:
    """Run a command on a home; in a process of its own that is killed at `die`, if that is given."""
    if die is None:
        return switcher.run(str(home), command, name=name)
    ended = forked.run(switcher.run, str(home), command, die=die, name=name)
    assert ended.status == -signal.SIGKILL, (command, die)
    return None


@pytest.fixture(params=["promotion", "first promotion", "rollback"])
def case(request: pytest.FixtureRequest, world: Any, released: Path, tmp_path: Path) -> tuple[Path, str]:
    """A home, and the command that switches its live release."""
    home = tmp_path / "case"
    if request.param != "first promotion":
        copied(released, home)
        if request.param == "promotion":
            return home, "promote 2"
        run(home, "promote 2")
        return home, "rollback"
    world.copied(home)
    workspace = Workspace(Settings(home=home))
    releases.publish(workspace, world.versions[0])
    workspace.index.close()
    workspace.engine.dispose()
    return home, "promote 1"


def whole(told: dict[str, Any]) -> bool:
    """Every store names the same release, and answers from it alone."""
    live = [collection for collection, state in told["states"].items() if state == "live"]
    named = {told["registry"], told["index"], told["service"]}
    return (
        not told["unfinished"]
        and named == set(live or [None])
        and (not live or (told["answers"][0] == live[0] and told["points"] == 300))
    )


@pytest.mark.slow
def test_killed_at_every_step(
    case: tuple[Path, str],
    tmp_path: Path,
    restore_home: Callable[[Path, Path], None],
    record_property: Callable[[str, object], None],
) -> None:
    home, command = case
    before = run(home, "tell")
    backup = copied(home, tmp_path / "backup")
    run(home, command)
    after = run(home, "tell")
    assert before != after
    assert whole(before)
    assert whole(after)

    kills, undone, finished = 0, 0, 0
    now = after
    for step in [*UNSEEN, *SEEN]:
        if now != before:  # what was undone needs no undoing
            restore_home(home, backup)
        run(home, command, step)
        kills += 1
        found = run(home, "settle")
        expected = before if step in UNSEEN else after
        assert found["crashed"]["index"] == expected["index"], step
        # A journal that was not committed, or is struck out, leaves nothing to settle.
        assert found["crashed"]["unfinished"] == (step not in ("journal after", "all after")), step
        assert (found["said"] is not None) == found["crashed"]["unfinished"], step
        undone += "undone" in (found["said"] or "")
        finished += "finished" in (found["said"] or "")
        now = found["told"]
        assert now == expected, step
    record_property(
        "fault",
        {
            "fault": f"`{command.split()[0]}` killed at each step, then settled"
            + (", with no release live before" if command == "promote 1" else ""),
            "killed": kills,
            "seen": f"{undone} undone, {finished} finished, {kills - undone - finished} with nothing to settle; "
            "all stores as before or as after",
        },
    )


@pytest.mark.slow
@pytest.mark.parametrize("command", ["promote 2", "rollback"])
def test_a_switch_of_sellers_is_killed_at_every_step(
    seller_home: Path, tmp_path: Path, restore_home: Callable[[Path, Path], None], command: str
) -> None:
    """The releases of sellers are switched as those of related products are, and leave these alone."""
    home = copied(seller_home, tmp_path / "case")
    if command == "rollback":
        run(home, "promote 2", name=SELLERS)
    related = run(home, "tell")
    before = run(home, "tell", name=SELLERS)
    backup = copied(home, tmp_path / "backup")
    run(home, command, name=SELLERS)
    after = run(home, "tell", name=SELLERS)
    assert before != after
    assert whole(before)
    assert whole(after)
    # There are models of two spaces, with two aliases each.
    for step in [*UNSEEN, *SEEN]:
        restore_home(home, backup)
        run(home, command, step, name=SELLERS)
        settled = run(home, "settle", name=SELLERS)
        assert settled["told"] == (before if step in UNSEEN else after), step
        assert run(home, "tell") == related, step


@pytest.mark.slow
def test_settling_is_killed_too_and_settled(
    released: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    kills = 0
    for crash, again, verb in (
        ("alias before", ["alias after", "model after 2", "service after", "strike after"], "undone"),
        ("alias after", ["service after", "model after 2", "alias after", "registry after"], "finished"),
    ):
        home = copied(released, tmp_path / verb)
        run(home, "promote 2", crash)
        kills += 1
        for step in again:
            run(home, "settle", step)
            kills += 1
        # The next command settles before it does its own work.
        assert run(home, "promote 2") == "related_products@v2"
        told = run(home, "tell")
        assert whole(told)
        assert told["index"] == "related_products__v2"
        assert run(home, "rollback") == "related_products@v1"
    record_property(
        "fault",
        {
            "fault": "`promote` killed, and settling it killed again and again; then `promote` and `rollback`",
            "killed": kills,
            "switches": 4,
            "seen": "both do as they should",
        },
    )

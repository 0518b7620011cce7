"""The journal of switches between live releases, from which an interrupted switch is completed or undone.

Each function is part of a transaction. The process that switches holds `registry.database.held(engine,
lock_name(name))`, so a row that exists while nobody holds this lock was left by a crash.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import CursorResult, delete, select, update
from sqlalchemy.orm import Session

from registry.database import RegistryError
from registry.models import Release, Switch
from registry.operations import whoami


def lock_name(name: str) -> str:
    """Return the name of the lock to hold while the live release of `name` is switched."""
    return f"switch of {name}"


def begin(
    session: Session,
    old: Release | None,
    new: Release,
    step: str,
    models: Mapping[str, Mapping[str, str | None]],
    why: str,
    who: str | None = None,
) -> Switch:
    """Record that the live release changes from `old` (None for the first) to `new`.

    Args:
        step: Name of the first store.
        models: Space → alias → URI of the model it names, or None: the state of MLflow that undoing restores.
    """
    switch = Switch(
        name=new.name,
        old=old,
        new=new,
        step=step,
        models={space: dict(aliases) for space, aliases in models.items()},
        who=who or whoami(),
        why=why,
    )
    session.add(switch)
    session.flush()
    return switch


def unfinished(session: Session, name: str) -> Switch | None:
    """Return the switch of `name` that is under way or was left by a crash, or None."""
    return session.scalars(select(Switch).where(Switch.name == name)).first()


def reach(session: Session, switch: Switch, step: str) -> None:
    """Record the store that is switched next.

    Raises:
        RegistryError: If the switch has ended: the lock was lost, and another process took the switch over.
    """
    _ours(session.execute(update(Switch).where(Switch.id == switch.id).values(step=step)), switch)


def end(session: Session, switch: Switch) -> None:
    """Delete the switch, in the transaction that completes or undoes it.

    Raises:
        RegistryError: If it has ended already; see `reach`.
    """
    _ours(session.execute(delete(Switch).where(Switch.id == switch.id)), switch)


def _ours(result: object, switch: Switch) -> None:
    if cast("CursorResult[Any]", result).rowcount != 1:
        raise RegistryError(
            f"the switch of {switch.name} that {switch.who} began was ended by another process\n"
            "  hint: `twinvec status` shows which release is live; promote again if it is the wrong one"
        )

"""The journal of switches between live releases: what is under way, so that a crash leaves no question open.

Each function is a transaction's part; the one who switches holds `registry.database.held(engine, lock_name(name))`
meanwhile, so a row that is found while nobody holds it was left by a crash.
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
    """What to hold while the live release of `name` is switched."""
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
    """Write down that the live release goes from `old` (None for the first) to `new`.

    Args:
        step: the first store.
        models: space → alias → the model's URI it names, or None: what MLflow is to get back if this is undone.
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
    """The switch of `name` that is under way, or that a crash left; None most of the time."""
    return session.scalars(select(Switch).where(Switch.name == name)).first()


def reach(session: Session, switch: Switch, step: str) -> None:
    """Write down the store whose turn it is.

    Raises:
        RegistryError: if the switch is ended: our lock was lost, and another process took the switch over.
    """
    _ours(session.execute(update(Switch).where(Switch.id == switch.id).values(step=step)), switch)


def end(session: Session, switch: Switch) -> None:
    """Strike the switch out, in the transaction that makes it true or takes it back.

    Raises:
        RegistryError: if it is ended already, as `reach` has it.
    """
    _ours(session.execute(delete(Switch).where(Switch.id == switch.id)), switch)


def _ours(result: object, switch: Switch) -> None:
    if cast("CursorResult[Any]", result).rowcount != 1:
        raise RegistryError(
            f"the switch of {switch.name} that {switch.who} began was ended by another process\n"
            "  hint: `twinvec status` shows which release is live; promote again if it is the wrong one"
        )

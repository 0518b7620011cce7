"""Switching from one live release to another in all stores, or in none, whatever happens in the middle.

The order is Feast's service, MLflow's aliases, Qdrant's alias, and last the registry; a journal in the registry is
written before the first and struck out with the last. What an error or a crash leaves is settled by one rule: **if
Qdrant's alias names the new release, the switch is finished, else it is undone**, in reverse order. Queries follow
that alias, so what they have seen is never taken back. Every step can be repeated, so settling can be interrupted too.
"""

from __future__ import annotations

from registry import journal, operations
from registry.database import held, transaction
from registry.models import Release, Switch
from twinvec.releases import stores
from twinvec.spaces import release_names
from twinvec.vectors.publish import Progress, silent
from twinvec.workspace import Workspace

STEPS = ("feature service", "models", "alias", "registry")


def settle(workspace: Workspace, name: str | None = None) -> str | None:
    """Finish or undo the switches that a crash left, if there are any; costs one query a name if there are none.

    Args:
        workspace: Stores.
        name: Name of the releases; all names if not given.

    Returns:
        What was done, as a sentence; None if there was nothing to do, or a process is at work on it.

    Raises:
        StoreError: if a store refuses; nothing is lost, and the next call tries again.
    """
    said = []
    for each in [name] if name is not None else release_names(workspace.settings):
        with transaction(workspace.engine) as session:
            if journal.unfinished(session, each) is None:
                continue
        with held(workspace.engine, journal.lock_name(each)) as ours:
            said.append(settle_alone(workspace, each) if ours else None)
    return "\n".join(sentence for sentence in said if sentence is not None) or None


def settle_alone(workspace: Workspace, name: str) -> str | None:
    """As `settle`, for those who hold the lock."""
    with transaction(workspace.engine) as session:
        switch = journal.unfinished(session, name)
    if switch is None:
        return None
    finished = finish_or_undo(workspace, switch)
    return (
        f"the switch to {switch.new.label} that {switch.who} began at {switch.begun_at:%Y-%m-%d %H:%M} UTC was "
        f"interrupted at the step {switch.step}: it was {'finished' if finished else 'undone'}"
    )


def finish_or_undo(workspace: Workspace, switch: Switch) -> bool:
    """Apply the rule; returns whether the switch is finished, or else undone."""
    if stores.alias_at(workspace, switch.name) == switch.new.collection:
        # All of it again: the alias may have been there before the switch began.
        carry_out(workspace, switch, why=f"{switch.why}; finished after an interruption")
        return True
    undo(workspace, switch)
    return False


def carry_out(
    workspace: Workspace, switch: Switch, progress: Progress = silent, why: str | None = None
) -> None:
    """Bring every store to the new release, the registry last."""
    _reach(workspace, switch, 0, progress)
    stores.set_service(workspace, switch.name, switch.new)
    _reach(workspace, switch, 1, progress)
    stores.set_models(workspace, stores.models_after(workspace, switch.models, switch.old, switch.new))
    _reach(workspace, switch, 2, progress)
    stores.set_alias(workspace, switch.new)
    _reach(workspace, switch, 3, progress)
    with transaction(workspace.engine) as session:
        journal.end(session, switch)
        operations.make_live(session, session.get_one(Release, switch.new_id), why or switch.why, switch.who)


def undo(workspace: Workspace, switch: Switch) -> None:
    """Bring every store back to the old release, in reverse order; without one, no release is live."""
    if switch.old is not None:
        stores.set_alias(workspace, switch.old)
    stores.set_models(workspace, switch.models)
    stores.set_service(workspace, switch.name, switch.old)
    with transaction(workspace.engine) as session:
        journal.end(session, switch)


def _reach(workspace: Workspace, switch: Switch, step: int, progress: Progress) -> None:
    progress(STEPS[step], 0, 1)
    with transaction(workspace.engine) as session:
        journal.reach(session, switch, STEPS[step])

"""Switch of the live release in all stores or in none, even if it is interrupted.

The order is Feast's service, MLflow's aliases, Qdrant's alias, and last the registry. A journal entry in the registry
is written before the first step and closed with the last. After an error or a crash one rule applies: **if Qdrant's
alias names the new release, the switch is finished, else it is undone**, in reverse order. Queries follow that alias,
so a release that has answered queries is not taken back. Every step can be repeated, so settling can be interrupted,
too.
"""

from __future__ import annotations

from registry import journal, operations
from registry.database import held, transaction
from registry.models import Release, Switch
from twinvec.progress import Count, silent
from twinvec.releases import stores
from twinvec.spaces import release_names
from twinvec.workspace import Workspace

STEPS = ("feature service", "models", "alias", "registry")


def settle(workspace: Workspace, name: str | None = None) -> str | None:
    """Finish or undo the switches that a crash left. Without one, it costs one query a name.

    Args:
        workspace: Stores.
        name: Name of the releases; all names if not given.

    Returns:
        A sentence on what was done; None if there was nothing to do, or another process is switching.

    Raises:
        StoreError: If a store refuses; the next call tries again.
    """
    sentences = []
    for release_name in [name] if name is not None else release_names(workspace.settings):
        with transaction(workspace.engine) as session:
            if journal.unfinished(session, release_name) is None:
                continue
        with held(workspace.engine, journal.lock_name(release_name)) as ours:
            sentences.append(settle_alone(workspace, release_name) if ours else None)
    return "\n".join(sentence for sentence in sentences if sentence is not None) or None


def settle_alone(workspace: Workspace, name: str) -> str | None:
    """Do what `settle` does; the caller holds the lock."""
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
    """Finish or undo a switch by the rule; return True if it is finished, False if undone."""
    if stores.alias_at(workspace, switch.name) == switch.new.collection:
        # Repeat all steps: the alias may have pointed there before the switch began.
        carry_out(workspace, switch, why=f"{switch.why}; finished after an interruption")
        return True
    undo(workspace, switch)
    return False


def carry_out(workspace: Workspace, switch: Switch, progress: Count = silent, why: str | None = None) -> None:
    """Bring every store to the new release, the registry last."""
    _reach(workspace, switch, 0, progress)
    stores.set_service(workspace, switch.name, switch.new)
    _reach(workspace, switch, 1, progress)
    after = stores.models_after(workspace, switch.models, switch.old, switch.new)
    stores.set_models(workspace, after, optional=True)
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
    stores.set_models(workspace, switch.models, optional=True)
    stores.set_service(workspace, switch.name, switch.old)
    with transaction(workspace.engine) as session:
        journal.end(session, switch)


def _reach(workspace: Workspace, switch: Switch, step: int, progress: Count) -> None:
    progress(STEPS[step], 0, 1)
    with transaction(workspace.engine) as session:
        journal.reach(session, switch, STEPS[step])

"""Promotion and rollback: switch feature service, model aliases, index and registry as one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from registry import journal, operations
from registry.database import held, transaction
from registry.models import WHOLE, Release, Switch
from twinvec.errors import StateError, StoreError, VerificationError
from twinvec.progress import Count, silent
from twinvec.releases import gates, stores
from twinvec.releases.gates import Judge
from twinvec.releases.lookup import checked_name, live
from twinvec.releases.switching import STEPS, carry_out, finish_or_undo, settle, settle_alone
from twinvec.spaces import has_collection, served_as
from twinvec.workspace import Workspace


def promote(
    workspace: Workspace,
    release: Release,
    progress: Count = silent,
    why: str = "promoted",
    judge: Judge | None = None,
    force: bool = False,
) -> Release:
    """Make `release` the live one. Promoting the live one again repairs the stores that differ from it.

    The gates compare it with the live release first; see `twinvec.releases.gates`. Then its vectors go into the online
    store under the names of their versions, which takes long and changes nothing for readers. Last, all stores switch
    together; see `twinvec.releases.switching`. If a store refuses before queries follow the new release, everything is
    undone.

    Args:
        workspace: Stores.
        release: Release to promote.
        progress: Called with each step.
        why: Reason, kept with the release's history.
        judge: Function that compares the quality, in place of that of the space's declaration.
        force: Promote it even if gates refuse it; the history keeps the figures that were forced.

    Returns:
        The release, in state `live`. Its verification has the outcome of the gates under `gates`.

    Raises:
        GateError: If figures do not pass, with nothing changed.
        StateError: If the release is not whole, one of its models is not registered in MLflow any more, or another
            process switched or is switching meanwhile.
        VerificationError: If its collection has lost or gained points since it was verified.
        StoreError: If a store refuses.
    """
    settle(workspace, release.name)
    serving = live(workspace, release.name)
    _require_whole(workspace, release)
    if serving is not None and serving.id == release.id:
        return _switch(workspace, release, serving, progress, why)
    progress("compare", 0, 1)
    outcome = gates.measure(workspace, release, serving, judge)
    forced = gates.require(release, outcome, force)
    record = outcome.record(forced is not None)
    return _switch(workspace, release, serving, progress, f"{why}; {forced}" if forced else why, record)


def rollback(
    workspace: Workspace, progress: Count = silent, why: str | None = None, name: str | None = None
) -> Release:
    """Promote the release that was live before this one. A second call promotes the one before that.

    Args:
        workspace: Stores.
        progress: Called with each step.
        why: Reason, kept with the release's history.
        name: Name of the releases; that of related products if not given.

    No gates apply: the earlier release has been live before, and a faulty release should not stay live for long.

    Raises:
        StateError: If there is none; and as `promote`.
    """
    name = checked_name(workspace, name)
    settle(workspace, name)
    with transaction(workspace.engine) as session:
        previous = operations.previous_release(session, name)
        serving = operations.live_release(session, name)
    if previous is None or serving is None:
        now = f"{serving.label} is live, and none" if serving else "none is live, and none"
        raise StateError(
            f"there is no release of {name} to go back to: {now} was live before",
            "`twinvec promote RELEASE` promotes any that is ready; `twinvec status` lists them",
        )
    _require_whole(workspace, previous)
    return _switch(workspace, previous, serving, progress, why or f"rolled back from {serving.label}")


def _switch(
    workspace: Workspace,
    release: Release,
    seen: Release | None,
    progress: Count,
    why: str,
    record: Mapping[str, Any] | None = None,
) -> Release:
    """Switch from `seen`, the live release when the promotion was decided, to `release`.

    Args:
        record: Outcome of the gates, kept with the release; None if no gates applied.
    """
    stores.require_models(workspace, release)
    _put_online(workspace, release, progress)
    with _alone(workspace, release.name):
        settle_alone(workspace, release.name)
        switch = _begin(workspace, release, seen, why, record)
        try:
            carry_out(workspace, switch, progress)
        except BaseException as error:
            # An interruption on purpose, such as Ctrl-C, is raised even if the switch was finished.
            if not _settled(workspace, switch, error) or not isinstance(error, Exception):
                raise
    with transaction(workspace.engine) as session:
        return session.get_one(Release, release.id)


@contextmanager
def _alone(workspace: Workspace, name: str) -> Iterator[None]:
    """Hold the lock of the switch; raise StateError, with the name of the holder, if another process has it."""
    with held(workspace.engine, journal.lock_name(name)) as ours:
        if not ours:
            with transaction(workspace.engine) as session:
                switch = journal.unfinished(session, name)
            doing = f"{switch.who} is switching to {switch.new.label}" if switch else "it is being switched"
            raise StateError(
                f"the live release of {name} cannot be switched now: {doing}",
                "wait for it to end and look at `twinvec status`; promote again if it is still wanted",
            )
        yield


def _begin(
    workspace: Workspace, release: Release, seen: Release | None, why: str, record: Mapping[str, Any] | None
) -> Switch:
    """Write the journal, unless another process has switched since `seen` was read."""
    models = stores.read_models(workspace, release.name)
    with transaction(workspace.engine) as session:
        now = operations.live_release(session, release.name)
        if _mark(now) != _mark(seen):
            raise StateError(
                f"{release.label} was not promoted: {now.label if now else 'no release'} is live, "
                f"switched to after this began with {seen.label if seen else 'none live'}",
                "look at `twinvec status`; promote again if it is still wanted",
            )
        new = session.get_one(Release, release.id)
        if record is not None:
            new.verification = {**new.verification, gates.RECORD: record}
        return journal.begin(session, now, new, STEPS[0], models, why, workspace.settings.registry.user)


def _mark(release: Release | None) -> object:
    # With the time, so that a switch away and back in between is noticed.
    return release and (release.id, release.promoted_at)


def _settled(workspace: Workspace, switch: Switch, error: BaseException) -> bool:
    """Finish or undo the switch that `error` interrupted; return True if it is finished."""
    try:
        return finish_or_undo(workspace, switch)
    except Exception as trouble:
        raise StoreError(
            f"the switch to {switch.new.label} failed ({error}) and could not be finished or undone ({trouble})",
            "mend what is named; the next `twinvec promote` or `twinvec rollback` settles it first",
        ) from error


def _require_whole(workspace: Workspace, release: Release) -> None:
    if release.state not in WHOLE:
        raise StateError(
            f"{release.label} is {release.state}" + (f": {release.error}" if release.error else ""),
            "publish it first: `twinvec publish` goes on with one that was interrupted",
        )
    if not has_collection(served_as(workspace.settings, release.name)):
        return
    points, verified = workspace.index.count(release.collection), release.verification["points"]
    if points != verified:
        raise VerificationError(
            f"{release.collection} holds {points:,} points, and {verified:,} when it was verified",
            "publish its version again",
        )


def _put_online(workspace: Workspace, release: Release, progress: Count) -> None:
    from twinvec.features.store import materialize_release

    if workspace.settings.feast.materialize:
        materialize_release(
            workspace.features, release, lambda view, done, total: progress(f"online {view}", done, total)
        )

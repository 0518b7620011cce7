"""Run every stage that is out of date, then publish and promote what is new."""

from __future__ import annotations

from dataclasses import dataclass

from registry.models import Release
from twinvec import dag
from twinvec.catalogue.snapshot import Snapshot
from twinvec.errors import NotFoundError
from twinvec.progress import Count, Progress, silent
from twinvec.releases.gates import GateError
from twinvec.releases.lookup import checked_name, lists_of, live, newest_of
from twinvec.releases.promotion import promote
from twinvec.releases.publishing import publish
from twinvec.spaces import served_as
from twinvec.workspace import Workspace


@dataclass(frozen=True)
class Refreshed:
    """Result of a refresh.

    Attributes:
        steps: Result of each stage.
        live: Release that is live at the end; None if there is none.
        refused: Why the new release is not live; None if it is, or if there was none to promote.
    """

    steps: list[dag.Step]
    live: Release | None
    refused: GateError | None = None

    def refusal(self) -> dict[str, object]:
        """Return what was refused and why, as JSON-like values; empty if nothing was."""
        if self.refused is None:
            return {}
        return {"refused": self.refused.release.label, "gates": self.refused.outcome.record(forced=False)}


def refresh(
    workspace: Workspace,
    snapshot: Snapshot,
    force: bool = False,
    progress: Progress = lambda _message: None,
    count: Count = silent,
    name: str | None = None,
) -> Refreshed:
    """Run the dag, then publish and promote the version of one served space unless it has been live before.

    A version that was live and is not any more was rolled back or replaced by someone who knew why: it stays so. One
    that gates refuse remains ready.

    Args:
        workspace: Stores.
        snapshot: Snapshot to make versions of.
        force: Make new versions even if nothing changed.
        progress: Called with messages.
        count: Called with the progress of publishing and promoting.
        name: Name of the releases; that of related products if not given.

    Raises:
        NotFoundError: If the snapshot gave no version of the served space.
    """
    name = checked_name(workspace, name)
    space = served_as(workspace.settings, name)
    steps = dag.run(workspace, snapshot, None, force, progress)
    version = next((step.version for step in steps if step.space == space.name), None)
    if version is None:
        raise NotFoundError(
            f"snapshot {snapshot.id} gave no version of {space.name}: "
            + "; ".join(f"{step.space} {step.reason}" for step in steps if step.version is None),
            "ingest a catalogue with co-purchases, or orders to mine them from",
        )
    release = newest_of(workspace, version, lists_of(workspace, version))
    if release is None:
        release = publish(workspace, version, count)
    refused: GateError | None = None
    if release.promoted_at is None:
        try:
            promote(workspace, release, count)
        except GateError as refusal:
            refused = refusal
    return Refreshed(steps, live(workspace, name), refused)

"""The doctor: looks whether settings, registry, files, Feast, MLflow and Qdrant fit together, and mends what it can."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from twinvec.doctor import configuration, features, files, models, orphans, schema, unfinished, vectors
from twinvec.doctor.finding import Finding
from twinvec.errors import TwinvecError
from twinvec.settings import Settings
from twinvec.workspace import Workspace

__all__ = ["Finding", "Mended", "diagnose", "mend"]

Check = Callable[[Workspace, bool], Iterator[Finding]]

CHECKS: tuple[tuple[str, Check], ...] = (
    ("releases", unfinished.check_switch),
    ("releases", unfinished.check_building),
    ("files", unfinished.check_temporary),
    ("files", files.check),
    ("Feast", features.check_views),
    ("MLflow", models.check_versions),
    ("Qdrant", vectors.check_collections),
    ("orphans", orphans.check_leftovers),
    ("orphans", orphans.check_collections),
    ("orphans", orphans.check_features),
    ("orphans", orphans.check_folders),
)
# Until a switch has ended, the stores need not agree on what is live.
OF_WHAT_IS_LIVE: tuple[tuple[str, Check], ...] = (
    ("Qdrant", vectors.check_alias),
    ("MLflow", models.check_alias),
    ("Feast", features.check_services),
)
# What is mended may bring to light what could not be looked at before.
ROUNDS = 4


@dataclass(frozen=True)
class Mended:
    """What `--fix` did."""

    mended: Sequence[Finding]
    refused: Sequence[tuple[Finding, str]]
    """Those whose fix failed, and why."""
    left: Sequence[Finding]
    """What is still wrong."""


def diagnose(
    settings: Settings, deep: bool = False, progress: Callable[[str], None] = lambda _: None
) -> list[Finding]:
    """All that is wrong; nothing is changed, and a store that does not answer is a finding.

    Args:
        deep: whether to read whole files, too, which takes as long as reading them does.
        progress: told what is looked at.
    """
    progress("settings and registry")
    found = list(configuration.check(settings))
    if schema.is_new(settings):
        return found
    registry = list(schema.check(settings))
    if registry:
        return found + registry
    workspace = Workspace(settings)
    try:
        for store, check in CHECKS:
            progress(store)
            found += _run(store, check, workspace, deep)
        if not unfinished.switching(workspace):
            for store, check in OF_WHAT_IS_LIVE:
                progress(store)
                found += _run(store, check, workspace, deep)
    finally:
        _close(workspace)
    return found


def mend(settings: Settings, deep: bool = False, progress: Callable[[str], None] = lambda _: None) -> Mended:
    """Do the fixes there are, and look again, until there is nothing more to fix."""
    mended: list[Finding] = []
    refused: dict[tuple[str, str], tuple[Finding, str]] = {}
    found = diagnose(settings, deep, progress)
    for _ in range(ROUNDS):
        fixable = [each for each in found if each.fix is not None and (each.where, each.what) not in refused]
        if not fixable:
            break
        for finding in fixable:
            progress(f"mending {finding.where}")
            try:
                assert finding.fix is not None
                finding.fix()
                mended.append(finding)
            except Exception as error:  # whatever library that store speaks through
                refused[finding.where, finding.what] = (finding, str(error))
        found = diagnose(settings, deep, progress)
    return Mended(mended, list(refused.values()), found)


def _run(store: str, check: Check, workspace: Workspace, deep: bool) -> list[Finding]:
    """What a check finds; that its store does not answer is a finding, too."""
    try:
        return list(check(workspace, deep))
    except TwinvecError as error:
        return [Finding(store, store, f"cannot be looked at: {error.message}", error.hint)]
    except Exception as error:  # whatever library that store speaks through
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return [
            Finding(
                store,
                store,
                f"cannot be looked at: {reason}",
                "see that what `twinvec settings` names for it is right, and answers",
            )
        ]


def _close(workspace: Workspace) -> None:
    opened = vars(workspace)
    if "index" in opened:
        workspace.index.close()
    if "engine" in opened:
        workspace.engine.dispose()

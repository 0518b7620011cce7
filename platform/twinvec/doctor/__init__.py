"""Doctor: check that settings, registry, files, Feast, MLflow and Qdrant agree, and repair faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from twinvec.doctor import (
    configuration,
    features,
    files,
    models,
    orphans,
    schema,
    transfers,
    unfinished,
    vectors,
)
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
    ("files", transfers.check),
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
# A repair may make it possible to check what could not be checked before.
ROUNDS = 4


@dataclass(frozen=True)
class Mended:
    """Result of `--fix`."""

    mended: Sequence[Finding]
    refused: Sequence[tuple[Finding, str]]
    """Findings whose fix failed, and the reason."""
    left: Sequence[Finding]
    """Findings that remain."""


def diagnose(
    settings: Settings, deep: bool = False, progress: Callable[[str], None] = lambda _: None
) -> list[Finding]:
    """Return all faults; nothing is changed, and a store that does not answer is a finding.

    Args:
        settings: Settings, which name the stores.
        deep: True to read whole files, too, which takes as long as reading them does.
        progress: Called with the name of what is checked.
    """
    progress("settings and registry")
    findings = list(configuration.check(settings))
    moved = list(configuration.check_place(settings))
    if moved:  # opening a store would re-base it, and nothing is to be changed here
        return findings + moved
    if schema.is_new(settings):
        return findings
    registry = list(schema.check(settings))
    if registry:
        return findings + registry
    workspace = Workspace(settings)
    try:
        for store, checks in groupby(CHECKS, itemgetter(0)):
            progress(store)
            for _, check in checks:
                findings += _run(store, check, workspace, deep)
        if not unfinished.switching(workspace):
            for store, check in OF_WHAT_IS_LIVE:
                progress(f"what is live in {store}")
                findings += _run(store, check, workspace, deep)
    finally:
        _close(workspace)
    return findings


def mend(settings: Settings, deep: bool = False, progress: Callable[[str], None] = lambda _: None) -> Mended:
    """Apply all fixes and check again, until nothing more can be fixed; return what was done."""
    mended: list[Finding] = []
    refused: dict[tuple[str, str], tuple[Finding, str]] = {}
    findings = diagnose(settings, deep, progress)
    for _ in range(ROUNDS):
        fixable = [
            each for each in findings if each.fix is not None and (each.where, each.what) not in refused
        ]
        if not fixable:
            break
        for finding in fixable:
            progress(f"mending {finding.where}")
            try:
                assert finding.fix is not None
                finding.fix()
                mended.append(finding)
            except Exception as error:  # each store's client library has errors of its own
                refused[finding.where, finding.what] = (finding, str(error))
        findings = diagnose(settings, deep, progress)
    return Mended(mended, list(refused.values()), findings)


def _run(store: str, check: Check, workspace: Workspace, deep: bool) -> list[Finding]:
    """Return the findings of a check; a store that does not answer is a finding, too."""
    try:
        return list(check(workspace, deep))
    except TwinvecError as error:
        return [Finding(store, store, f"cannot be looked at: {error.message}", error.hint)]
    except Exception as error:  # each store's client library has errors of its own
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

"""`twinvec publish`, `twinvec promote` and `twinvec rollback`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.command.app import open_workspace
from pipelines.command.output import AsJson, print_json, print_table
from pipelines.command.progress import shown
from twinvec.errors import StateError

if TYPE_CHECKING:
    from registry.models import Release
    from twinvec.workspace import Workspace

# What is shown of each figure that gates looked at.
GATE = ("figure", "new", "live", "least", "most", "passed", "setting")
OF_RELEASE = {
    "release": "release",
    "state": "state",
    "version": "version",
    "snapshot": "snapshot",
    "collection": "collection",
    "created_at": "made at",
    "promoted_at": "live since",
    "error": "error",
}
# Recalls by filter and answers are for --json.
OF_VERIFICATION = {
    "rows": "rows of the version",
    "regions": "regions",
    "nodes": "queries and products with neighbours",
    "points": "points, each read back as it was sent",
    "nonzero": "share of products whose vectors are not zero",
    "recall_at_10": "recall@10 of the index, beside exact search",
    "sample": "products sampled for it",
    "ef": "candidates of a search (ef)",
    "upload_seconds": "seconds to send the points",
    "index_seconds": "seconds to build the index",
    "verify_seconds": "seconds to verify",
    "quantization": "quantisation",
    "code_bytes": "bytes that are searched",
}
Why = Annotated[str | None, typer.Option("--why", help="Reason that is kept with the release's history.")]
ReleaseName = Annotated[
    str | None,
    typer.Option(
        "--release",
        help="Name of the releases: {releases}; that of related products if not given.",
    ),
]


def publish(
    version: Annotated[
        str | None,
        typer.Argument(
            help="A version of a space that is released, such as related@v3; the latest of the release's space if not "
            "given."
        ),
    ] = None,
    name: ReleaseName = None,
    as_json: AsJson = False,
) -> None:
    """Put a version's vectors into a new collection and verify it; nothing goes live."""
    workspace = open_workspace()
    with shown() as progress:
        from registry.models import State
        from twinvec import releases
        from twinvec.spaces import served_as

        settle(workspace)
        space = served_as(workspace.settings, name or workspace.settings.release)
        chosen = workspace.version(version or space.name)
        if name is not None and chosen.space != space.name:
            raise StateError(
                f"{chosen.name} is no version of {space.name}, which {name} releases",
                f"name one of {space.name}, or leave --release out",
            )
        release = releases.publish(workspace, chosen, progress.count)
    _show(release, as_json, OF_RELEASE | OF_VERIFICATION)
    if as_json:
        return
    _show_trials(release)
    if release.state == State.LIVE:
        typer.echo(f"{release.label} is this version's release, and live already: nothing was changed")
    else:
        typer.echo(f"`twinvec promote {release.label}` makes it live")


def promote(
    release: Annotated[
        str | None,
        typer.Argument(
            help="A release, such as related_products@v7 or 7; the newest that is ready if not given."
        ),
    ] = None,
    name: ReleaseName = None,
    why: Why = None,
    force: Annotated[
        bool, typer.Option("--force", help="Promote it even if gates refuse it; what they found is recorded.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a release live everywhere at once: features, models and vectors.

    It is compared with the live one first, and refused if it falls short of it by more than `gates` of the settings
    allow.
    """
    workspace = open_workspace()
    with shown() as progress:
        from twinvec import releases

        settle(workspace)
        chosen = releases.find(workspace, release, name) if release else releases.waiting(workspace, name)
        promoted = releases.promote(workspace, chosen, progress.count, why or "promoted", force=force)
    _show(promoted, as_json, OF_RELEASE)
    if not as_json:
        _show_gates(promoted)


def _show_gates(release: Release) -> None:
    from twinvec.releases.gates import RECORD

    record = release.verification.get(RECORD)
    if record is None:
        return
    beside = f"beside {record['live']}" if record["live"] else "none was live"
    if record["figures"]:
        print_table(
            f"Gates ({beside}" + (", forced)" if record["forced"] else ")"),
            ["figure", "new", "live", "at least", "at most", "passed", "setting"],
            [[gate[name] for name in GATE] for gate in record["figures"]],
        )
    else:
        typer.echo(f"Gates: nothing was compared ({beside})")
    if record["remark"]:
        typer.echo(record["remark"])


def rollback(name: ReleaseName = None, why: Why = None, as_json: AsJson = False) -> None:
    """Make the release live again that was live before this one."""
    workspace = open_workspace()
    with shown() as progress:
        from twinvec import releases

        settle(workspace)
        release = releases.rollback(workspace, progress.count, why, name)
    _show(release, as_json, OF_RELEASE)


def settle(workspace: Workspace) -> None:
    """Settle the switch of releases that a crash left, if there is one, and say so on stderr."""
    from twinvec import releases

    if (said := releases.settle(workspace)) is not None:
        typer.echo(said, err=True)


def record(release: Release) -> dict[str, object]:
    """Return a release as JSON-like values."""
    return {
        "release": f"{release.name}@v{release.number}",
        "state": release.state,
        "version": release.version.name,
        "snapshot": release.version.snapshot_id,
        "collection": release.collection,
        "created_at": release.created_at,
        "promoted_at": release.promoted_at,
        "error": release.error,
        "verification": release.verification,
    }


def _show(release: Release, as_json: bool, words: Mapping[str, str]) -> None:
    """Print a release; `words` names the values that a table shows, in its order."""
    values = record(release)
    if as_json:
        print_json(values)
        return
    checked = values | release.verification
    # None, not 0, where there is no collection.
    checked["points"] = checked.get("points") or None
    rows = [
        (said, ", ".join(value) if isinstance(value, list) else value)
        for name, said in words.items()
        if (value := checked.get(name)) is not None
    ]
    print_table("Release", ["", "value"], rows)


def _show_trials(release: Release) -> None:
    if trials := release.verification.get("trials"):
        columns = ("recall_at_10", "least", "code_bytes")
        print_table(
            f"Quantisation ({release.verification['quantization']} was chosen)",
            ["", "recall@10", "least under a filter", "bytes of codes"],
            [[name, *(trial[column] for column in columns)] for name, trial in trials.items()],
        )

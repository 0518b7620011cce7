"""`twinvec doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.command.app import open_workspace
from pipelines.command.output import AsJson, print_json, print_table
from pipelines.command.progress import shown
from twinvec.secrets import masked_urls

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twinvec.doctor import Finding


def doctor(
    fix: Annotated[
        bool, typer.Option("--fix", help="Mend what loses nothing, after listing it, and look again.")
    ] = False,
    deep: Annotated[bool, typer.Option("--deep", help="Read whole files, too.")] = False,
    abandon: Annotated[
        str | None,
        typer.Option(
            "--abandon", help="Let this version in the making, which no training makes, have failed."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look whether settings, registry, files, Feast, MLflow and Qdrant fit together; exit code 1 if they do not."""
    settings = open_workspace().settings
    with shown() as progress:
        progress("looking")
        from twinvec.doctor import Mended, diagnose, mend
        from twinvec.doctor.unfinished import abandon as give_up
        from twinvec.workspace import Workspace

        if abandon is not None:
            give_up(Workspace(settings), abandon)
        done = mend(settings, deep, progress) if fix else Mended([], [], diagnose(settings, deep, progress))
    if as_json:
        print_json(
            {
                "mended": [_record(finding) for finding in done.mended],
                "refused": [{**_record(finding), "why": why} for finding, why in done.refused],
                "findings": [_record(finding) for finding in done.left],
            }
        )
    else:
        if fix:
            _print("Mended" if done.mended else "Mended: nothing", done.mended)
        for finding, why in done.refused:
            typer.echo(masked_urls(f"{finding.where} could not be mended: {why}"), err=True)
        _print("Found" if done.left else "Nothing is wrong", done.left)
    if done.left:
        raise typer.Exit(1)


def _record(finding: Finding) -> dict[str, object]:
    return {
        "store": finding.store,
        "where": masked_urls(finding.where),
        "what": masked_urls(finding.what),
        "mend": masked_urls(finding.mend),
        "fixable": finding.fix is not None,
    }


def _print(title: str, findings: Iterable[Finding]) -> None:
    rows = [
        (each["store"], f"{each['where']} {each['what']}", "yes" if each["fixable"] else "no", each["mend"])
        for each in map(_record, findings)
    ]
    print_table(title, ["store", "what is wrong", "--fix", "to mend it"], rows)

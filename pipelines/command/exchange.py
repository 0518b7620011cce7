"""`twinvec import`, `twinvec export` and `twinvec export atlas`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pipelines.command.app import open_workspace
from pipelines.command.output import AsJson, print_json
from pipelines.command.progress import shown
from pipelines.command.training import SnapshotId


def import_(
    space: Annotated[str, typer.Argument(help="Space to make a version of, such as text or related.")],
    file: Annotated[
        Path,
        typer.Argument(
            help="Parquet file with the key column, as product_id, and the space's vector columns."
        ),
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--from", help="A version that the vectors belong to, such as aligned@v1; may be repeated."
        ),
    ] = None,
    note: Annotated[str, typer.Option(help="Text that is kept with the run, as the name of the model.")] = "",
    snapshot: SnapshotId = None,
    as_json: AsJson = False,
) -> None:
    """Make a version of a space from vectors that were made elsewhere.

    `twinvec run` then takes an imported version of text or image in place of its own, and a version of a space that is
    released can be published.
    """
    workspace = open_workspace()
    with shown() as progress:
        from twinvec.exchange import import_vectors

        versions = [workspace.version(name) for name in inputs or []]
        version = import_vectors(workspace, space, file, versions, note, snapshot, progress)
    if as_json:
        print_json(
            {"version": version.name, "rows": version.rows, "dimension": version.dimension} | version.metrics
        )
        return
    typer.echo(
        f"{version.name}: {version.rows:,} vectors of {version.dimension} numbers; "
        f"{version.metrics['without_vector']:,} without a vector"
    )


class VersionByDefault(TyperGroup):
    """Commands of export; what is none of them names a version to export."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Name the command `version` where none is named."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["version", *args]
        return super().parse_args(ctx, args)


exports = typer.Typer(
    cls=VersionByDefault,
    help="Write the keys and vectors of a version to a Parquet file: `twinvec export related@v3 FILE`.",
    no_args_is_help=True,
)


@exports.command(name="version")
def export(
    version: Annotated[str, typer.Argument(help="A version, as related@v3, or a space for its latest.")],
    file: Annotated[Path, typer.Argument(help="Parquet file to write.")],
    as_json: AsJson = False,
) -> None:
    """Write the keys and vectors of a version to a Parquet file."""
    workspace = open_workspace()
    from twinvec.exchange import export_version

    chosen = workspace.version(version)
    rows = export_version(chosen, file)
    if as_json:
        print_json({"version": chosen.name, "file": file, "rows": rows})
        return
    typer.echo(f"{file}: {rows:,} rows of {chosen.name}")


@exports.command()
def atlas(
    version: Annotated[str, typer.Argument(help="A version, as related@v3, or a space for its latest.")],
    file: Annotated[Path, typer.Argument(help="Parquet file to write.")],
    role: Annotated[
        str | None,
        typer.Option(help="Vectors that place the products, as source or target; the last if not given."),
    ] = None,
    neighbours: Annotated[
        int, typer.Option(min=1, max=200, help="Number of neighbours of each product.")
    ] = 15,
    as_json: AsJson = False,
) -> None:
    """Write places, neighbours and attributes of a version's products for the public tool embedding-atlas."""
    workspace = open_workspace()
    chosen = workspace.version(version)
    with shown() as progress:
        from pipelines.evaluation.atlas import export_atlas

        rows = export_atlas(workspace, chosen, file, role, neighbours, progress)
    if as_json:
        print_json({"version": chosen.name, "file": file, "rows": rows})
        return
    typer.echo(
        f"{file}: {rows:,} products of {chosen.name}\n"
        f"`embedding-atlas {file} --x x --y y --neighbors neighbors --text title` shows it"
    )

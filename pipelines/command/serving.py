"""`twinvec serve` and `twinvec keys`."""

from __future__ import annotations

import ipaddress
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.command.app import open_workspace
from pipelines.command.output import AsJson, print_json, print_table
from twinvec.errors import NotFoundError, SettingsError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from twinvec.serving.http.keys import Keys, Scope
    from twinvec.settings import Settings

APPLICATION = "pipelines.command.serving:application"
KEEP_ALIVE_SECONDS = 75

keys = typer.Typer(
    help="Keys of callers of the HTTP API; a running server sees a change at once.", no_args_is_help=True
)


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of processes; `serving.workers` if not given.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen on another address than loopback without any key.")
    ] = False,
) -> None:
    """Serve related products over HTTP; /docs describes the API, and /explore is a page to look at."""
    from twinvec.access import share
    from twinvec.settings import load_settings

    settings = load_settings()
    share(settings)  # the workers', too
    serving = settings.serving
    # Read when torch is first imported, here and in the workers.
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(serving.threads)
    workers = workers or serving.workers
    if workers > 1:
        os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp(prefix="twinvec-metrics-"))
    import uvicorn

    from twinvec.serving.http.logs import log_to_stderr

    log_to_stderr()
    if not insecure and not is_loopback(host) and not open_keys(settings).required:
        raise SettingsError(
            f"there is no key, so anybody who reaches {host} could ask",
            "`twinvec keys new NAME` makes one; or listen on 127.0.0.1; or say --insecure",
        )
    uvicorn.run(
        APPLICATION,
        factory=True,
        host=host,
        port=port,
        workers=workers,
        access_log=False,
        server_header=False,
        ws="none",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=serving.limits.shutdown_timeout,
    )


def application() -> FastAPI:
    """Return the API over the home that the settings name: what each worker runs."""
    from pipelines.cold_start.service import ColdStart
    from pipelines.image.thumbnails import Thumbnails
    from pipelines.ranking.explaining import Explainer
    from twinvec.serving.api import create_app
    from twinvec.serving.http.logs import log_to_stderr
    from twinvec.serving.opening import open_answerer

    log_to_stderr()
    workspace = open_workspace()
    # One index for all: Qdrant Edge keeps what it has open in memory.
    answerer = open_answerer(workspace, ColdStart(workspace), Explainer(workspace))
    settings = workspace.settings
    return create_app(answerer, settings.serving, open_keys(settings), workspace, Thumbnails(settings.image))


def open_keys(settings: Settings) -> Keys:
    """Return the keys that the settings name."""
    from twinvec.serving.http.keys import Keys

    serving = settings.serving
    return Keys(serving.keys, keys_file(settings), serving.keys_file is not None)


def keys_file(settings: Settings) -> Path:
    """Return the file of keys that the settings name."""
    return settings.serving.keys_file or settings.paths.api_keys


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@keys.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the caller; its earlier key is replaced.")],
    operator: Annotated[
        bool, typer.Option("--operator", help="Let it read metrics, too, not only ask and send events.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a key, and print it once: only its digest is stored."""
    from twinvec.serving.http.keys import new_key

    scope: Scope = "operator" if operator else "reader"
    file = keys_file(open_workspace().settings)
    key = new_key(file, name, scope)
    if as_json:
        print_json({"name": name, "scope": scope, "key": key})
        return
    typer.echo(key)
    typer.echo(f"{name}, {scope}; its digest is in {file}. Send it as `Authorization: Bearer KEY`.", err=True)


@keys.command(name="list")
def list_keys(as_json: AsJson = False) -> None:
    """Show the names and scopes of all keys."""
    from twinvec.serving.http.keys import read_keys

    settings = open_workspace().settings
    stored = {**settings.serving.keys, **read_keys(keys_file(settings))}
    if as_json:
        print_json([{"name": name, "scope": key.scope} for name, key in stored.items()])
        return
    print_table("Keys of the API", ["name", "scope"], [(name, key.scope) for name, key in stored.items()])


@keys.command()
def remove(name: Annotated[str, typer.Argument(help="Name of the caller.")]) -> None:
    """Remove a key: a running server refuses it from the next request on."""
    from twinvec.serving.http.keys import remove_key

    file = keys_file(open_workspace().settings)
    if not remove_key(file, name):
        raise NotFoundError(f"{file} has no key {name!r}", "`twinvec keys list` shows those there are")
    typer.echo(f"removed: {name}")

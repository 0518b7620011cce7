"""The application: options of every command, and what becomes of errors."""

from __future__ import annotations

import errno
import os
import signal
import sys
import warnings
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

import twinvec
from twinvec.disk import HINT, is_full
from twinvec.errors import TwinvecError
from twinvec.secrets import masked_urls
from twinvec.text import printable
from twinvec.tracking.environment import configure_mlflow, forbid_pickle

if TYPE_CHECKING:
    from twinvec.workspace import Workspace

QUIET = {"MLFLOW_LOGGING_LEVEL": "ERROR", "TQDM_DISABLE": "1"}
# Until the settings are read, which may share files with others.
PRIVATE = 0o077
OF_THE_MACHINE = (errno.EACCES, errno.EROFS)


class Commands(TyperGroup):
    """The commands; an error that is the user's to mend is one message on stderr and exit code 1."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run the command that was named."""
        umask = os.umask(PRIVATE)
        # What is told to end, as by the manager of a container, tidies up as after an interrupt.
        previous = signal.signal(signal.SIGTERM, _end)
        try:
            return super().invoke(ctx)
        except Exception as error:
            message = None if ctx.params.get("debug") else explain(error)
            if message is None:
                raise
            typer.echo(f"error: {printable(masked_urls(message))}", err=True)
            raise typer.Exit(1) from error
        finally:
            signal.signal(signal.SIGTERM, previous)
            os.umask(umask)
            if "twinvec.features.store" in sys.modules:
                from twinvec.features.store import close_duckdb

                close_duckdb()


class Terminated(SystemExit):
    """The process was told to end; the registry says so of what it was making."""


def _end(number: int, _frame: object) -> None:
    raise Terminated(128 + number)


app = typer.Typer(
    cls=Commands,
    help="Product embeddings, from a catalogue to related products.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(twinvec.__version__)
        raise typer.Exit


def start(
    debug: Annotated[bool, typer.Option("--debug", help="Show warnings, and a traceback of errors.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Product embeddings, from a catalogue to related products."""
    if not debug and not sys.warnoptions:
        # What libraries say to programmers is not for the user of a command. A filter would not do: some
        # of them add filters of their own when they are imported.
        warnings.showwarning = lambda *_arguments: None
        for variable, value in QUIET.items():
            os.environ.setdefault(variable, value)
    configure_mlflow()
    forbid_pickle()


def explain(error: Exception) -> str | None:
    """Return the message for an error that the user can correct; None for an error of Twinvec."""
    if is_full(error):
        what = error.message if isinstance(error, TwinvecError) else str(error).strip().partition("\n")[0]
        return f"the disk is full: {what}\n  hint: {HINT}"
    if isinstance(error, TwinvecError):
        return str(error)
    if isinstance(error, OSError) and error.errno in OF_THE_MACHINE:
        return f"{error.strerror}: {error.filename}\n  hint: check the disk and its permissions"
    if "mlflow" in sys.modules:
        from mlflow.exceptions import MlflowException

        if isinstance(error, MlflowException):
            return f"MLflow refused: {error.message}\n  hint: `twinvec doctor` looks what MLflow lacks"
    if "sqlalchemy" not in sys.modules:
        return None  # so it is none of the following, which take a second to import
    from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError

    from registry.database import RegistryError

    if isinstance(error, RegistryError):
        return str(error)
    # Of database errors, the others of its family are mistakes of ours; this very one is a damaged file.
    if isinstance(error, OperationalError | ArgumentError) or type(error) is DatabaseError:
        what = str(getattr(error, "orig", error)).strip().splitlines()[0]
        return (
            f"a database cannot be used: {what}\n"
            "  hint: see home, registry.url and mlflow.tracking_uri in `twinvec settings`"
        )
    return None


def open_workspace(**overrides: object) -> Workspace:
    """Return the stores that the settings name; `overrides` win over the environment and the file.

    Raises:
        SettingsError: If a setting cannot be used, or the home cannot be made.
    """
    from twinvec.access import make_home, share
    from twinvec.settings import load_settings
    from twinvec.startup import skip_unused_imports
    from twinvec.workspace import Workspace

    skip_unused_imports()
    settings = load_settings(**overrides)
    make_home(settings)
    share(settings)
    return Workspace(settings)

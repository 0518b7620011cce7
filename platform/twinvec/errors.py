"""Errors that a user can cause. Each says what was wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TwinvecError(Exception):
    """Base of every error that the user can mend; the command prints it without a traceback.

    Args:
        message: What was wrong and where, with the offending value.
        hint: What to do about it, as a sentence.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class SettingsError(TwinvecError):
    """A setting is unknown or has a value that cannot be used."""


class PluginError(TwinvecError):
    """A package registers something with Twinvec that cannot be used."""


class CatalogueError(TwinvecError):
    """A source cannot be read, or breaks its data contract too often to be trusted."""


class TrainingError(TwinvecError):
    """A training cannot go on: its loss is not finite, or exactly 0."""


class NotFoundError(TwinvecError):
    """A product, version, release or file that was named does not exist."""


class StateError(TwinvecError):
    """The operation is not allowed in the present state of a version or release."""


class StoreError(TwinvecError):
    """Feast, MLflow, Qdrant or the registry refused or lost something."""


class VerificationError(TwinvecError):
    """A published index does not hold what its release says it holds."""


def in_short(error: BaseException) -> str:
    """Return an error as the registry keeps it: its class and its message, at most 500 characters."""
    return ": ".join(filter(None, (type(error).__name__, str(error))))[:500]


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a hint that lists the known names, and names the closest one if there is any close."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    return (f"did you mean {close[0]}? " if close else "") + f"there are: {', '.join(names)}"

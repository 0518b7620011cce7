"""Loading of pretrained weights: from this machine, else from the hub, else a quick and clear error."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from huggingface_hub import constants

from twinvec.errors import SettingsError

SECONDS_TO_ANSWER = 5.0
# Entries of transformers' report on a loaded model that a user has to know of.
OF_CONSEQUENCE = ("MISSING", "MISMATCH", "CONVERSION")
ModelT = TypeVar("ModelT")


def load_pretrained(setting: str, name: str, load: Callable[[], ModelT], instead: str) -> ModelT:
    """Call `load`, first without the network, and then with it if the hub answers.

    Where no network can be reached, the libraries retry each of a model's files for minutes. So one request to the hub
    comes first.

    Args:
        setting: Setting that names the model, such as `text.model`.
        name: Value of the setting.
        load: Load the model by a library that gets its files from the Hugging Face hub.
        instead: Advice if the model cannot be had, as a clause.

    Raises:
        SettingsError: If the model is neither on this machine nor on the hub, or the hub cannot be reached.
    """
    try:
        with _offline():
            return load()
    except Exception:  # Each library has its own error for a missing file.
        unreachable = _why_unreachable()
        if unreachable:
            raise SettingsError(
                f"{setting} is {name!r}, which is not on this machine, and {unreachable}",
                f"download it where there is a network and bring the cache ({constants.HF_HUB_CACHE}) here, "
                f"or {instead}",
            ) from None
    try:
        return load()
    except Exception as error:
        raise SettingsError(
            f"{setting} is {name!r}, which cannot be loaded: {first_line(error)}",
            f"check its name on {constants.ENDPOINT}, or {instead}",
        ) from error


@contextmanager
def quiet_about_unread_weights() -> Iterator[None]:
    """Keep transformers from reporting, while the block runs, weights of a file that the model has no use for.

    A pooler, a head or the numbers of positions lie in many files of encoders. A report that also names weights that
    are missing or do not fit is shown: those are drawn at random.
    """
    logger = logging.getLogger("transformers.modeling_utils")
    logger.addFilter(_is_of_consequence)
    try:
        yield
    finally:
        logger.removeFilter(_is_of_consequence)


def _is_of_consequence(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return "LOAD REPORT" not in message or any(entry in message for entry in OF_CONSEQUENCE)


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def _why_unreachable() -> str | None:
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE keeps it from being downloaded"
    try:
        with urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=SECONDS_TO_ANSWER):
            return None
    except HTTPError:
        return None  # The server answered, if with an error.
    except OSError:
        return f"{constants.ENDPOINT} cannot be reached"


@contextmanager
def _offline() -> Iterator[None]:
    """Set the hub's client offline, as HF_HUB_OFFLINE does if it is set before the import."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before

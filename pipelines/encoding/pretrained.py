"""Pretrained weights: those on this machine if they are here, else from the hub, else a quick and clear refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from huggingface_hub import constants

from twinvec.errors import SettingsError

SECONDS_TO_ANSWER = 5.0
ModelT = TypeVar("ModelT")


def load_pretrained(setting: str, name: str, load: Callable[[], ModelT], instead: str) -> ModelT:
    """Call `load`, first without the network, and then with it if the hub answers at all.

    The libraries try each of a model's files again and again before they give up, for minutes where nothing can be
    reached; so the hub is asked once beforehand.

    Args:
        setting: that names the model, such as `text.model`.
        name: its value.
        load: loads the model by a library that gets its files from the Hugging Face hub.
        instead: what to do where the model cannot be had, as a clause.

    Raises:
        SettingsError: if the model is neither here nor on the hub, or the hub cannot be reached.
    """
    try:
        with _offline():
            return load()
    except Exception:  # Each library has its own for a file that is not there.
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


def first_line(error: Exception) -> str:
    """What an error says, on one line."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def _why_unreachable() -> str | None:
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE keeps it from being downloaded"
    try:
        with urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=SECONDS_TO_ANSWER):
            return None
    except HTTPError:
        return None  # An answer, if an odd one.
    except OSError:
        return f"{constants.ENDPOINT} cannot be reached"


@contextmanager
def _offline() -> Iterator[None]:
    """What HF_HUB_OFFLINE does when it is set before the hub's client is imported."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before

"""Help texts that name what is registered: entry points are read when help is printed, not at every start."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from typer.core import TyperCommand


def _comparisons() -> str:
    from pipelines.comparisons.registered import described

    return " ".join(f"`{name}`: {text}" for name, text in described().items())


def _models() -> str:
    from pipelines.related.models import model_names

    return ", ".join(f"`{name}`" for name in model_names())


def _loaders() -> str:
    from twinvec.catalogue.loaders import find_loader, loader_names
    from twinvec.errors import PluginError

    texts = []
    for name in loader_names():
        try:
            texts.append(f"`{name}`: {find_loader(name).reads}.")
        except PluginError as error:
            texts.append(f"`{name}` cannot be used: {error.message}.")
    return " ".join(texts)


def _spaces() -> str:
    from twinvec.spaces import all_spaces

    return ", ".join(space.name for space in all_spaces())


def _releases() -> str:
    from twinvec.settings import load_settings
    from twinvec.spaces import release_names

    return ", ".join(release_names(load_settings()))


# `{name}` in a help text → function that returns what stands there.
PLACEHOLDERS: Mapping[str, Callable[[], str]] = {
    "comparisons": _comparisons,
    "loaders": _loaders,
    "models": _models,
    "releases": _releases,
    "spaces": _spaces,
}


class LateHelp(TyperCommand):
    """A command whose arguments and options may have `{comparisons}` and the like in their help texts."""

    def format_help(self, *arguments: Any) -> None:
        """Fill the help texts in, and print them."""
        for parameter in self.params:
            text = getattr(parameter, "help", None)
            if text is not None:
                parameter.help = re.sub(  # type: ignore[attr-defined]
                    rf"\{{({'|'.join(PLACEHOLDERS)})\}}", lambda match: PLACEHOLDERS[match[1]](), text
                )
        super().format_help(*arguments)

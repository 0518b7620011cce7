"""The models of related products that installed packages register, by entry points.

    [project.entry-points."twinvec.models"]
    NAME = "package.module:MODEL"

    [project.entry-points."twinvec.model_settings"]
    NAME = "package.light_module:NameSettings"

The first names the declaration, the second the settings group of `[related.NAME]`, if the model has any. Names are read
from the packages' metadata. A declaration is imported when the model is used. A settings group is imported when the
settings name it; its module should import neither torch nor `pipelines`, so that settings load quickly.
"""

from __future__ import annotations

import difflib
from typing import Any

from twinvec.errors import SettingsError
from twinvec.plugins import load_plugin, plugins
from twinvec.settings.group import Group

MODELS = "twinvec.models"
SETTINGS = "twinvec.model_settings"


def model_names() -> list[str]:
    """Return the names of all registered models."""
    return list(plugins(MODELS))


def unknown_model(name: str) -> str:
    """Return the message for a name that no installed package registers."""
    names = model_names()
    close = difflib.get_close_matches(name, names, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"there is no model {name!r}; {guess}models are {', '.join(map(repr, names))}"


def load_model(name: str) -> Any:
    """Import and return the declaration of the model called `name`.

    Raises:
        SettingsError: If no installed package registers it.
        PluginError: If it cannot be imported.
    """
    point = plugins(MODELS).get(name)
    if point is None:
        raise SettingsError(unknown_model(name), "install the package that registers it")
    return load_plugin(point)


def group_names() -> list[str]:
    """Return the names of the registered settings groups."""
    return list(plugins(SETTINGS))


def settings_group(name: str) -> type[Group] | None:
    """Return the settings group that is registered for the model called `name`; None if there is none.

    Raises:
        SettingsError: If it is no group of settings.
        PluginError: If it cannot be imported.
    """
    point = plugins(SETTINGS).get(name)
    if point is None:
        return None
    group = load_plugin(point)
    if not (isinstance(group, type) and issubclass(group, Group)):
        raise SettingsError(
            f"{point.value}, the settings of the model {name!r}, is no group of settings",
            "register a subclass of twinvec.settings.Group",
        )
    return group

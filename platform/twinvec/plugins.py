"""Entry points by which an installed package adds to Twinvec: settings, loaders, models, spaces."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from twinvec.errors import PluginError


def plugins(group: str) -> Mapping[str, EntryPoint]:
    """Return the entry points of a group, such as `twinvec.loaders`, by name; nothing is imported.

    Raises:
        PluginError: If two packages register different objects under one name.
    """
    registered: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=group), key=lambda each: (each.name, each.value)):
        other = registered.setdefault(point.name, point)
        if other.value != point.value:
            raise PluginError(
                f"{group} has two entries {point.name!r}: {other.value} and {point.value}",
                "uninstall one of the packages that register them",
            )
    return registered


def load_plugin(point: EntryPoint) -> Any:
    """Return the object that an entry point names, importing its module.

    Raises:
        PluginError: If there is no such module or object.
    """
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        package = f" of {point.dist.name}" if point.dist else ""
        raise PluginError(
            f"{point.value}, registered{package} as {point.name!r} in {point.group}, cannot be loaded: {error}",
            "mend or uninstall the package that registers it",
        ) from error


def load_reference(reference: str) -> Any:
    """Return the object that `"package.module:name"` names, importing its module.

    Raises:
        PluginError: If there is no such module or object.
    """
    module, _, name = reference.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"{reference} cannot be loaded: {error}", "mend or uninstall the package that names it"
        ) from error

"""The comparisons that are registered: entry points of the group `twinvec.comparisons`, ours and other packages'."""

from __future__ import annotations

from typing import Any

from pipelines.comparisons.comparison import Comparison
from twinvec.errors import NotFoundError, PluginError
from twinvec.plugins import load_plugin, plugins

GROUP = "twinvec.comparisons"


def comparison_names() -> list[str]:
    """Return the names of all comparisons, sorted; no declaration is imported."""
    return list(plugins(GROUP))


def described() -> dict[str, str]:
    """Return the name of each comparison and one sentence about it."""
    texts = {}
    for name in comparison_names():
        try:
            texts[name] = find_comparison(name).help
        except PluginError:  # a broken package must not spoil the help of the others
            texts[name] = "cannot be loaded."
    return texts


def find_comparison(name: str) -> Comparison[Any, Any, Any]:
    """Return the comparison that is registered under this name.

    Raises:
        NotFoundError: If there is none.
        PluginError: If it cannot be imported, or is no `Comparison`.
    """
    point = plugins(GROUP).get(name)
    if point is None:
        raise NotFoundError(
            f"there is no comparison {name!r}", f"comparisons are: {', '.join(comparison_names())}"
        )
    declared = load_plugin(point)
    if not isinstance(declared, Comparison):
        raise PluginError(
            f"{point.value}, registered as {name!r} in {GROUP}, is no Comparison",
            "name a `pipelines.comparisons.comparison.Comparison`, as module:NAME",
        )
    return declared

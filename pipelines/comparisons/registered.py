"""The comparisons that are registered: entry points of the group `twinvec.comparisons`, ours and other packages'."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from pipelines.comparisons.comparison import Comparison
from twinvec.errors import NotFoundError

GROUP = "twinvec.comparisons"


def comparison_names() -> list[str]:
    """Return the names of all comparisons, sorted; no declaration is imported."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def described() -> dict[str, str]:
    """Return the name of each comparison and one sentence about it; a declaration that fails to load has none."""
    texts = {}
    for name in comparison_names():
        try:
            texts[name] = find_comparison(name).help
        except Exception as error:  # of another package, which must not spoil the help of ours
            texts[name] = f"cannot be loaded ({type(error).__name__})."
    return texts


def find_comparison(name: str) -> Comparison[Any, Any, Any]:
    """Return the comparison that is registered under this name.

    Raises:
        NotFoundError: if there is none, or what is registered is no `Comparison`.
    """
    for entry in entry_points(group=GROUP, name=name):
        declared = entry.load()
        if not isinstance(declared, Comparison):
            raise NotFoundError(
                f"the entry point {name} = {entry.value} of {GROUP} is no Comparison",
                "name a `pipelines.comparisons.comparison.Comparison`, as module:NAME",
            )
        return declared
    raise NotFoundError(
        f"there is no comparison {name!r}", f"comparisons are: {', '.join(comparison_names())}"
    )

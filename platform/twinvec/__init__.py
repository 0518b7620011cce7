"""Twinvec: product embeddings with two vectors a product, from catalogue to vector search.

`twinvec.open` opens a home, the folder of one catalogue with everything that was made from it:

    import twinvec

    home = twinvec.open(".twinvec")
    home.ingest("orders.parquet", format="orders")
    home.run()
    home.related("5555991584", k=5)

Modules and classes are imported when they are first used, so that `import twinvec` takes milliseconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twinvec import metrics, nn
    from twinvec.home import Home
    from twinvec.home import open_home as open  # noqa: A004 - `twinvec.open`, as `gzip.open`

__version__ = "0.1.0"
__all__ = ["Home", "__version__", "metrics", "nn", "open"]

_LAZY = {"Home": "twinvec.home:Home", "open": "twinvec.home:open_home"}
_MODULES = ("metrics", "nn")


def __getattr__(name: str) -> Any:
    """Import what is used for the first time."""
    if name in _MODULES:
        return importlib.import_module(f"twinvec.{name}")
    if name in _LAZY:
        module, _, attribute = _LAZY[name].partition(":")
        value = globals()[name] = getattr(importlib.import_module(module), attribute)
        return value
    raise AttributeError(f"module 'twinvec' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

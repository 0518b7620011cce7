"""Quicker start of a process that is Twinvec's own, such as the command's: seconds of imports that it does not use.

A library must not change the libraries of its host, so nothing but the command calls this.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any


def skip_unused_imports() -> None:
    """Let Feast and MLflow leave out what Twinvec never uses of them; call it before they are imported.

    - MLflow imports PyTorch Lightning, and all that it needs, to log its trainings.
    - Feast has typeguard generate code that checks the arguments of its methods. Under `python -O` it does without.
    """
    # None makes the import fail, which MLflow expects where Lightning is not installed.
    sys.modules.setdefault("mlflow.pytorch._lightning_autolog", None)  # type: ignore[arg-type]
    if "feast" not in sys.modules and find_spec("typeguard") is not None:
        import typeguard

        typeguard.typechecked = _unchanged


def _unchanged(target: Any = None, **_options: object) -> Any:
    """Return what is decorated as it is, with and without options of the decorator."""
    return _unchanged if target is None else target

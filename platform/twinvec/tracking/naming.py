"""Names of parameters and metrics as MLflow allows them, and parameters by their names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_ILLEGAL = re.compile(r"[^\w\-. /:]")


def metric_name(name: str) -> str:
    """Return `name` as MLflow allows it: `hit@10` becomes `hit_at_10`, any other illegal character `_`."""
    return _ILLEGAL.sub("_", name.replace("@", "_at_"))


def flatten(values: Mapping[str, object], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, with names joined by dots."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def differences(before: Mapping[str, object], now: Mapping[str, object]) -> list[tuple[str, object, object]]:
    """Return the parameters that differ: name with dots, value before, value now; None where there is none."""
    old, new = flatten(before), flatten(now)
    return [
        (name, old.get(name), new.get(name))
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]

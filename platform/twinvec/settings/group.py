"""The base class of a group of settings, and the mark of settings that cannot change a result."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict

_OPERATIONAL = "operational"
_T = TypeVar("_T")

Operational = Annotated[_T, _OPERATIONAL]
"""Type of a setting that says how work is done: paths, devices, memory, connections, batches of a forward pass.

It cannot change what is made, or only its last bits by another order of rounding. Written
`batch: Operational[int] = Field(64, …)`. See `Group.deciding`.
"""


class Group(BaseModel):
    """A group of settings. Unknown keys are refused; values cannot be changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    def deciding(self) -> dict[str, Any]:
        """Return the settings that decide a result, as JSON-like values.

        Operational settings are left out, those of nested groups too. If two groups differ here, what was made with
        one is out of date for the other.
        """
        return _without_operational(self, self.deciding_as_before())

    def deciding_as_before(self) -> dict[str, Any]:
        """Return the settings that decided a result before operational settings were marked.

        Versions of that time carry a fingerprint of these values, and manifests still hold their digest.
        """
        return auto_as_float32(self.model_dump(mode="json"))


def auto_as_float32(values: dict[str, Any]) -> dict[str, Any]:
    """Count `auto` as float32, as before there was `auto`: versions of a home that moves to a GPU stay usable."""
    return {
        name: auto_as_float32(value)
        if isinstance(value, dict)
        else "float32"
        if name == "precision" and value == "auto"
        else value
        for name, value in values.items()
    }


def is_operational(model: type[BaseModel], name: str) -> bool:
    """Return whether a field is marked as `Operational`."""
    return _OPERATIONAL in model.model_fields[name].metadata


def _without_operational(group: BaseModel, values: dict[str, Any]) -> dict[str, Any]:
    kept = {}
    for name, value in values.items():
        nested = getattr(group, name)
        if isinstance(nested, BaseModel):
            kept[name] = _without_operational(nested, value)
        elif not is_operational(type(group), name):
            kept[name] = value
    return kept

"""What can be fitted from one version to another; apart, so that a command can name it without numpy."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """A family of transforms."""

    ORTHOGONAL = "orthogonal"
    AFFINE = "affine"

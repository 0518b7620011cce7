"""Kinds of alignment; a module of its own, so that the command can name them without importing numpy."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """Family of transforms from one version to another."""

    ORTHOGONAL = "orthogonal"
    AFFINE = "affine"

"""Declarations of spaces, and the registry of those that are installed."""

from __future__ import annotations

from twinvec.spaces.registered import (
    all_spaces,
    content_spaces,
    find_space,
    lists_space,
    release_name,
    release_names,
    served_as,
    served_spaces,
    spaces,
    stage_of,
)
from twinvec.spaces.space import (
    CATEGORIES,
    KEEP,
    LISTINGS,
    PRODUCTS,
    REMAKE,
    SELLERS,
    Carry,
    Entity,
    Field,
    Listing,
    Serving,
    Space,
)

__all__ = [
    "CATEGORIES",
    "KEEP",
    "LISTINGS",
    "PRODUCTS",
    "REMAKE",
    "SELLERS",
    "Carry",
    "Entity",
    "Field",
    "Listing",
    "Serving",
    "Space",
    "all_spaces",
    "content_spaces",
    "find_space",
    "lists_space",
    "release_name",
    "release_names",
    "served_as",
    "served_spaces",
    "spaces",
    "stage_of",
]

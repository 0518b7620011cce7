"""Digests of JSON-like values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping


def of_json(value: Mapping[str, object]) -> str:
    """Return the digest of a JSON-like mapping: 16 hexadecimal digits, independent of key order."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]

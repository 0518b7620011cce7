"""Which arm of an experiment a visitor is in: always the same one, without a list of visitors."""

from __future__ import annotations

import hashlib

from twinvec.settings.serving import ExperimentSettings


def assigned(experiment: ExperimentSettings, visitor: str) -> str | None:
    """Return the arm of a visitor, or None beyond the shares of all arms.

    The hash of the experiment's name and the visitor is a number from 0 to 1, and each arm has a part of that line. An
    arm whose share grows keeps its visitors if it is the last.
    """
    digest = hashlib.sha256(f"{experiment.name}\n{visitor}".encode("utf-8", "replace")).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    for name, arm in experiment.arms.items():
        if place < arm.share:
            return name
        place -= arm.share
    return None

"""Settings of an encoder's training as arguments of the training loop."""

from __future__ import annotations

from typing import Any

from twinvec.settings.pipelines import EncoderTraining


def training_options(options: EncoderTraining) -> dict[str, Any]:
    """Return the settings that text and image encoders share, as `training_arguments` takes them, by name."""
    return options.model_dump(include=set(EncoderTraining.model_fields))

"""The models of related products: one module each, which declares its `MODEL`.

A model is an encoder of `twinvec.nn.models` and a module with `relations`, `plan` and `MODEL`, registered by an entry
point; see `twinvec.settings.registered_models`. Packages outside this repository add models in the same way. Sampling,
training, evaluation, export and release are shared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinvec.settings import RelatedSettings, registered_models

if TYPE_CHECKING:
    from pipelines.related.plan import Model


def load_model(name: str) -> Model:
    """Return the declaration of the model called `name`, a value of `related.recipe`.

    Raises:
        SettingsError: If no installed package registers it.
    """
    model: Model = registered_models.load_model(name)
    return model


def model_names() -> list[str]:
    """Return the names of all models, in the order of tables: ours, then those of other packages by name."""
    ours = RelatedSettings.own_groups()
    return [*ours, *(name for name in registered_models.model_names() if name not in ours)]

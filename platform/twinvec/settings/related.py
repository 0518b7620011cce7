"""Settings of related products, with a group for each model."""

from __future__ import annotations

from typing import Any, Self, TypeVar

from pydantic import ConfigDict, Field, create_model, field_validator, model_validator
from pydantic_core import PydanticCustomError

from twinvec.settings import registered_models
from twinvec.settings.group import Group, auto_as_float32
from twinvec.settings.pipelines import SAMPLER, Precision, SamplerName
from twinvec.settings.related_models import (
    DaemonSettings,
    GatSettings,
    MerlinSettings,
    SoftmaxSettings,
    TwinvecSettings,
)

GroupT = TypeVar("GroupT", bound=Group)


class RelatedSettings(Group):
    """Related products: the dual-embedding model (MERLIN 3.6), or another in its place.

    Each model has a group of settings under its name. Groups of models from other packages are extra fields, checked
    by the classes that these packages register; see `twinvec.settings.registered_models`.
    """

    model_config = ConfigDict(extra="allow")

    recipe: str = Field(
        "twinvec",
        description="Name of the model: `paper` (MERLIN as published), `daemon`, `sage`, `gat`, `lightgcn`, `twinvec` "
        "(our own), or a model that another package registers.",
    )
    dimension: int = Field(128, ge=4, description="Length of the source and of the target vector (4.1.3).")
    layers: int = Field(
        2,
        ge=1,
        le=4,
        description="Number of graph layers, or hops (4.1.3). `twinvec` has one, whatever this says.",
    )
    fanout_copurchase: int = Field(
        20, ge=1, description="Number of co-purchase neighbours sampled a hop (4.1.3)."
    )
    fanout_coview: int = Field(10, ge=1, description="Number of co-view neighbours sampled a hop (4.1.3).")
    sampler: SamplerName = Field("auto", description=SAMPLER)
    patience: int = Field(
        4, ge=1, description="Epochs without a better validation MRR before stopping (4.1.3)."
    )
    validation_edges: int = Field(5_000, ge=1, description="Maximum number of edges for the validation MRR.")
    precision: Precision = Field(
        "auto",
        description="Precision of training. `bfloat16` runs the model in mixed precision, with weights in float32. "
        "`auto` does so on a GPU.",
    )
    calibrate: bool = Field(
        True,
        description="Whether one more coordinate makes scores of different sources comparable. `paper` and `daemon` "
        "stay as published.",
    )
    direction: float = Field(
        0.75,
        ge=0,
        le=1,
        description="Share of the calibration's loss that compares edges with their reverses; the rest compares them "
        "with random pairs. The order of one source's targets does not depend on it.",
    )
    refit: bool = Field(
        True,
        description="Whether the model is trained again on all edges after the test, for the published vectors.",
    )
    paper: MerlinSettings = Field(MerlinSettings(), description="Settings of the model `paper`.")
    daemon: DaemonSettings = Field(DaemonSettings(), description="Settings of the model `daemon`.")
    sage: SoftmaxSettings = Field(SoftmaxSettings(), description="Settings of the model `sage`.")
    gat: GatSettings = Field(GatSettings(), description="Settings of the model `gat`.")
    lightgcn: SoftmaxSettings = Field(SoftmaxSettings(), description="Settings of the model `lightgcn`.")
    twinvec: TwinvecSettings = Field(TwinvecSettings(), description="Settings of the model `twinvec`.")

    @field_validator("recipe")
    @classmethod
    def _is_registered(cls, name: str) -> str:
        # The metadata of packages is read only for names that are not ours.
        if name not in cls.own_groups() and name not in registered_models.model_names():
            message = registered_models.unknown_model(name)
            raise PydanticCustomError("unknown_model", "{message}", {"message": message})
        return name

    @model_validator(mode="after")
    def _read_model_groups(self) -> Self:
        """Replace the extra fields by the groups of registered models, and refuse all others."""
        extra = self.__pydantic_extra__ or {}
        names = {*extra, self.recipe}.difference(self.own_groups())
        if names:
            groups = {name: group for name in names if (group := registered_models.settings_group(name))}
            fields: dict[str, Any] = {name: (group, group()) for name, group in groups.items()}
            checked = create_model("ModelGroups", __base__=Group, **fields).model_validate(extra)
            values = {name: getattr(checked, name) for name in groups}
            object.__setattr__(self, "__pydantic_extra__", values)
        return self

    @classmethod
    def own_groups(cls) -> list[str]:
        """Return the names of the models of this repository, which have a field each."""
        return [
            name
            for name, field in cls.model_fields.items()
            if isinstance(field.annotation, type) and issubclass(field.annotation, Group)
        ]

    @property
    def uncalibrated(self) -> int:
        """Length of a vector without the calibrating coordinate."""
        return self.dimension - self.calibrate

    def group(self, name: str, kind: type[GroupT]) -> GroupT:
        """Return the settings of the model called `name`, of the class `kind`; the defaults if none are set."""
        group = getattr(self, name, None)
        return group if isinstance(group, kind) else kind()

    def deciding_as_before(self) -> dict[str, Any]:
        """Return the settings without the groups of other models: changing them makes nothing out of date."""
        others = {*self.own_groups(), *(self.__pydantic_extra__ or {})} - {self.recipe}
        values = auto_as_float32(self.model_dump(mode="json", exclude=others))
        return {**values, "sampler": "csr" if self.sampler == "csr" else "dgl"}

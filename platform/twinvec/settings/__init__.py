"""The settings: one typed object, read from `twinvec.toml` and from environment variables.

Environment variables win over the file. Their names begin with `TWINVEC_`; a nested setting is written with two
underscores (`TWINVEC_ALIGNED__EPOCHS=5`), and an empty variable counts as not set. An unknown key is an error, in the
file as in the environment.

An installed package adds a group of its own, `[toy]` in the file and `TWINVEC_TOY__…` in the environment, by an entry
point that names a subclass of `Group`:

    [project.entry-points."twinvec.settings"]
    toy = "toy_space.settings:ToySettings"
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

from pydantic import BaseModel, Field, ValidationError, create_model
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as SourceError

from twinvec.errors import PluginError, SettingsError
from twinvec.paths import HomePaths
from twinvec.plugins import load_plugin, plugins
from twinvec.secrets import masked_urls
from twinvec.settings import registered_models
from twinvec.settings.engine import RaySettings
from twinvec.settings.gates import GateSettings
from twinvec.settings.group import Group, Operational
from twinvec.settings.pipelines import (
    AlignedSettings,
    CategorySettings,
    GraphSettings,
    ImageSettings,
    TextSettings,
)
from twinvec.settings.ranking import RankingSettings
from twinvec.settings.related import RelatedSettings
from twinvec.settings.relevance import NeighbourhoodSettings, RelevanceSettings
from twinvec.settings.sellers import SellerSettings
from twinvec.settings.serving import ServingSettings
from twinvec.settings.similar import SimilarSettings
from twinvec.settings.stores import (
    FeastSettings,
    IngestSettings,
    MlflowSettings,
    QdrantSettings,
    RegistrySettings,
    RetentionSettings,
)
from twinvec.settings.update import UpdateSettings

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = [
    "AlignedSettings",
    "CategorySettings",
    "FeastSettings",
    "GateSettings",
    "GraphSettings",
    "Group",
    "ImageSettings",
    "IngestSettings",
    "MlflowSettings",
    "NeighbourhoodSettings",
    "Operational",
    "QdrantSettings",
    "RankingSettings",
    "RaySettings",
    "RegistrySettings",
    "RelatedSettings",
    "RelevanceSettings",
    "RetentionSettings",
    "SellerSettings",
    "ServingSettings",
    "Settings",
    "SimilarSettings",
    "TextSettings",
    "UpdateSettings",
    "load_settings",
]

PREFIX = "TWINVEC_"
FILE_VARIABLE = f"{PREFIX}SETTINGS"
DEFAULT_FILE = Path("twinvec.toml")
EXAMPLE = f"{PREFIX}ALIGNED__EPOCHS=5"
GROUPS = "twinvec.settings"
"""Entry points of groups of settings."""


class Settings(BaseSettings):
    """All settings. Groups that installed packages register are attributes, too."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        validate_default=True,
    )

    home: Operational[Path] = Field(
        Path(".twinvec"), description="Folder of all that Twinvec keeps on this machine."
    )
    access: Operational[Literal["owner", "group", "all"]] = Field(
        "owner",
        description="Who may read what Twinvec makes: its owner alone, its `group`, or `all` users.",
    )
    release: str = Field(
        "related_products",
        pattern=r"^[a-z][a-z0-9_]{0,40}$",
        description="Name of the releases, of their alias in Qdrant and of the live feature service.",
    )
    seed: int = Field(0, ge=0, description="Seed of all random numbers.")
    device: Operational[str] = Field(
        "auto",
        description="Device to compute on: `cpu`, `cuda`, `cuda:1`, … `auto` takes a GPU if there is one.",
    )
    engine: Operational[Literal["local", "ray"]] = Field(
        "local",
        description="Machines that mine logs, encode and train: this one, or those of a cluster of Ray (`pip install "
        "twinvec[ray]`), which gives the same result.",
    )
    ray: RaySettings = RaySettings()
    ingest: IngestSettings = IngestSettings()
    registry: RegistrySettings = RegistrySettings()
    feast: FeastSettings = FeastSettings()
    mlflow: MlflowSettings = MlflowSettings()
    qdrant: QdrantSettings = QdrantSettings()
    retention: RetentionSettings = RetentionSettings()
    gates: GateSettings = GateSettings()
    category: CategorySettings = CategorySettings()
    graph: GraphSettings = GraphSettings()
    text: TextSettings = TextSettings()
    image: ImageSettings = ImageSettings()
    aligned: AlignedSettings = AlignedSettings()
    related: RelatedSettings = RelatedSettings()
    ranking: RankingSettings = RankingSettings()
    sellers: SellerSettings = SellerSettings()
    serving: ServingSettings = ServingSettings()
    similar: SimilarSettings = SimilarSettings()
    neighbourhoods: NeighbourhoodSettings = NeighbourhoodSettings()
    relevance: RelevanceSettings = RelevanceSettings()
    update: UpdateSettings = UpdateSettings()

    def __new__(cls, *_arguments: Any, **_values: Any) -> Settings:
        """Return an object that has the groups of installed packages, too."""
        return super().__new__(_with_plugins(cls) if cls is Settings else cls)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources in order: arguments, the environment, the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, _toml_file())

    def model_post_init(self, _context: object) -> None:
        """Make the home absolute, so that paths stored in it are valid in any folder."""
        object.__setattr__(self, "home", self.home.expanduser().absolute())

    @property
    def paths(self) -> HomePaths:
        """Paths of the files and folders in the home."""
        return HomePaths(self.home)

    def registry_url(self) -> str:
        """Return the URL of the registry's database: as set, or SQLite in the home."""
        url = self.registry.url
        return url.get_secret_value() if url else f"sqlite:///{self.paths.registry}"

    def tracking_uri(self) -> str:
        """Return the URI of MLflow's tracking store: as set, or SQLite in the home."""
        uri = self.mlflow.tracking_uri
        return uri.get_secret_value() if uri else f"sqlite:///{self.paths.mlflow}"

    def masked(self) -> dict[str, Any]:
        """Return the effective settings with secrets, also those inside URLs, as `**********`, ready to print."""
        masked: dict[str, Any] = _masked(self.model_dump(mode="json"))
        return masked


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _masked(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_masked(each) for each in value]
    return masked_urls(value) if isinstance(value, str) else value


def settings_class() -> type[Settings]:
    """Return the class of the settings with the groups of installed packages.

    Raises:
        SettingsError: If a package registers a group that cannot be used.
    """
    return _with_plugins(Settings)


def _with_plugins(base: type[Settings]) -> type[Settings]:
    try:
        groups = {name: load_plugin(point) for name, point in plugins(GROUPS).items()}
    except PluginError as error:
        raise SettingsError(error.message, error.hint) from error
    return _extended(base, tuple(groups.items())) if groups else base


@lru_cache
def _extended(base: type[Settings], groups: tuple[tuple[str, object], ...]) -> type[Settings]:
    fields: dict[str, Any] = {}
    for name, group in groups:
        if name in base.model_fields or hasattr(base, name):
            raise SettingsError(
                f"a package registers the group of settings {name!r}, which Twinvec has itself",
                "uninstall the package, or register another name",
            )
        if not (_is_group(group) and issubclass(group, Group)):
            raise SettingsError(
                f"a package registers {group!r} as the group of settings {name!r}",
                "register a subclass of twinvec.settings.Group",
            )
        fields[name] = (group, group())
    return create_model(base.__name__, __base__=base, __module__=base.__module__, **fields)


def _toml_file() -> Path:
    return Path(os.environ.get(FILE_VARIABLE) or DEFAULT_FILE).expanduser()


def load_settings(**overrides: object) -> Settings:
    """Return the settings; `overrides` win over the environment and the file.

    Raises:
        SettingsError: On an unknown key, a value out of range, or a file that is missing or not TOML.
    """
    file = _toml_file()
    if os.environ.get(FILE_VARIABLE) and not file.is_file():
        raise SettingsError(
            f"{FILE_VARIABLE} names {file}, which is not a file", "name an existing TOML file"
        )
    _refuse_unknown_variables(os.environ)
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not valid TOML: {error}", "mend the line it names") from error
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error}", "check its permissions") from error
    except SourceError as error:
        # A whole group in one variable is read as JSON.
        raise SettingsError(
            f"an environment variable cannot be used: {error}",
            f"set one value at a time, as {EXAMPLE}",
        ) from error
    except ValidationError as error:
        problems = "; ".join(_explain(problem, file, overrides) for problem in error.errors())
        raise SettingsError(
            f"settings cannot be used: {problems}", "`twinvec settings` prints every setting and its value"
        ) from error


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    # pydantic-settings ignores variables that match no field: a typing error would be silent.
    variables = [FILE_VARIABLE, *_variables(settings_class(), PREFIX)]
    ours = [variable for variable in environment if variable.upper().startswith(PREFIX)]
    if any(variable.upper() not in variables for variable in ours):
        for name, group in _model_groups().items():
            variables += _variables(group, f"{PREFIX}RELATED__{name}__")
    for variable in ours:
        if variable.upper() not in variables:
            close = difflib.get_close_matches(variable.upper(), variables, n=1)
            raise SettingsError(
                f"environment variable {variable} is not a setting",
                f"did you mean {close[0]}?" if close else "`twinvec settings` lists what can be set",
            )


def _variables(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}".upper()
        if _is_group(field.annotation):
            yield from _variables(field.annotation, f"{prefix}{name}__")


def _model_groups() -> dict[str, type[BaseModel]]:
    """Return the settings groups of models that other packages register, by name."""
    names = [name for name in registered_models.group_names() if name not in RelatedSettings.own_groups()]
    return {name: group for name in names if (group := registered_models.settings_group(name))}


def _is_group(annotation: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _explain(problem: ErrorDetails, file: Path, overrides: Mapping[str, object]) -> str:
    location = [str(part) for part in problem["loc"]]
    place = ".".join(location)
    variable = PREFIX + "__".join(location).upper()
    if location[0] not in overrides:
        place = variable if variable in os.environ else f"{place} in {file}" if file.is_file() else place
    if problem["type"] != "extra_forbidden":
        return f"{place}: {problem['msg']}"
    close = difflib.get_close_matches(location[-1], _siblings(location), n=1)
    return f"{place}: no such setting" + (f"; did you mean {close[0]}?" if close else "")


def _siblings(location: Sequence[str]) -> list[str]:
    model: type[BaseModel] = settings_class()
    for part in location[:-1]:
        field = model.model_fields.get(part)
        annotation = _model_groups().get(part) if field is None else field.annotation
        if _is_group(annotation):
            model = annotation
    return [*model.model_fields, *(_model_groups() if model is RelatedSettings else ())]

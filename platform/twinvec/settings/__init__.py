"""One typed settings object, from `twinvec.toml` and from environment variables named `TWINVEC_…`.

Environment variables win over the file; a nested setting is written with two underscores
(`TWINVEC_RELATED__EPOCHS=5`), and an empty variable counts as not set. An unknown key is an error, in the
file as in the environment.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as SourceError

from twinvec.errors import SettingsError
from twinvec.paths import HomePaths
from twinvec.settings.gates import GateSettings
from twinvec.settings.pipelines import (
    AlignedSettings,
    CategorySettings,
    GraphSettings,
    ImageSettings,
    RelatedSettings,
    TextSettings,
)
from twinvec.settings.sellers import SellerSettings
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
    "ImageSettings",
    "IngestSettings",
    "MlflowSettings",
    "QdrantSettings",
    "RegistrySettings",
    "RelatedSettings",
    "RetentionSettings",
    "SellerSettings",
    "Settings",
    "TextSettings",
    "UpdateSettings",
    "load_settings",
]

PREFIX = "TWINVEC_"
FILE_VARIABLE = f"{PREFIX}SETTINGS"
DEFAULT_FILE = Path("twinvec.toml")


class Settings(BaseSettings):
    """Everything that can be set. Each group is documented where it stands."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        validate_default=True,
    )

    home: Path = Field(Path(".twinvec"), description="Folder of everything Twinvec keeps on this machine.")
    release: str = Field(
        "related_products",
        pattern=r"^[a-z][a-z0-9_]{0,40}$",
        description="Name of the releases, of the alias in Qdrant and of the live feature service.",
    )
    seed: int = Field(0, ge=0, description="Seed of everything random.")
    device: str = Field("auto", description="`cpu`, `cuda`, `cuda:1`, …; `auto` takes a GPU if there is one.")
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
    sellers: SellerSettings = SellerSettings()
    update: UpdateSettings = UpdateSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, then the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, _toml_file())

    def model_post_init(self, _context: object) -> None:
        """Make the home absolute, so that what is stored under it can be found from any folder."""
        object.__setattr__(self, "home", self.home.expanduser().absolute())

    @property
    def paths(self) -> HomePaths:
        """Paths of the files and folders in the home."""
        return HomePaths(self.home)

    def registry_url(self) -> str:
        """The registry's database: as set, or SQLite in the home."""
        url = self.registry.url
        return url.get_secret_value() if url else f"sqlite:///{self.paths.registry}"

    def tracking_uri(self) -> str:
        """MLflow's tracking store: as set, or SQLite in the home."""
        uri = self.mlflow.tracking_uri
        return uri.get_secret_value() if uri else f"sqlite:///{self.paths.mlflow}"

    def masked(self) -> dict[str, Any]:
        """The effective settings with secrets as `**********`, ready to print."""
        return self.model_dump(mode="json")


def _toml_file() -> Path:
    return Path(os.environ.get(FILE_VARIABLE) or DEFAULT_FILE).expanduser()


def load_settings(**overrides: object) -> Settings:
    """Read the settings; `overrides` win over the environment and the file.

    Raises:
        SettingsError: on an unknown key, a value out of range, or a file that is missing or not TOML.
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
            f"set one value at a time, as {PREFIX}RELATED__EPOCHS=5",
        ) from error
    except ValidationError as error:
        problems = "; ".join(_explain(problem, file, overrides) for problem in error.errors())
        raise SettingsError(
            f"settings cannot be used: {problems}", "`twinvec settings` prints every setting and its value"
        ) from error


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    # pydantic-settings ignores variables that match no field: a typing error would be silent.
    known = [FILE_VARIABLE, *_variables(Settings, PREFIX)]
    for variable in environment:
        if variable.upper().startswith(PREFIX) and variable.upper() not in known:
            close = difflib.get_close_matches(variable.upper(), known, n=1)
            raise SettingsError(
                f"environment variable {variable} is not a setting",
                f"did you mean {close[0]}?" if close else "`twinvec settings` lists what can be set",
            )


def _variables(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}".upper()
        if _is_group(field.annotation):
            yield from _variables(field.annotation, f"{prefix}{name}__")


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
    model: type[BaseModel] = Settings
    for part in location[:-1]:
        annotation = model.model_fields[part].annotation
        if _is_group(annotation):
            model = annotation
    return list(model.model_fields)

"""The files of a model in MLflow: fetch them, and check them before anything is loaded from them."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow.artifacts
import yaml

from twinvec.errors import StoreError
from twinvec.files import digest
from twinvec.settings import Settings
from twinvec.tracking.models import find_models

MLMODEL = "MLmodel"
# What MLflow and Python add to a model that is loaded by pyfunc where it lies. Twinvec reads neither, see `loading`.
META, BYTECODE = "registered_model_meta", "__pycache__"
# Files of a model that Twinvec logs. None of them is read with pickle.
EXPECTED = re.compile(
    rf"{MLMODEL}|{META}|conda\.yaml|python_env\.yaml|requirements\.txt|(extra_files/|serving_)?input_example\.(json|npz)"
    r"|data/model\.pt2|model\.lgb|model\.sentence_transformer/.*\.(json|md|txt|model|safetensors)"
)


@contextmanager
def model_folder(settings: Settings, uri: str) -> Iterator[Path]:
    """Yield the folder of a registered model's files: where they lie on this machine, else a copy.

    Args:
        settings: Name the tracking store, which must be in use.
        uri: `models:/<space>/<MLflow's own version number>`.

    Raises:
        StoreError: If MLflow does not have the model.
    """
    model = find_models(settings, [uri]).get(uri)
    if model is None or model.location is None:
        raise StoreError(
            f"MLflow has no model {uri}", "`twinvec doctor --fix` registers it again if its files are there"
        )
    if model.folder is not None:
        yield model.folder
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(mlflow.artifacts.download_artifacts(artifact_uri=model.location, dst_path=folder))


def logged_files(settings: Settings, uri: str) -> str:
    """Return the digest of the files of a model that was just logged, to be kept with its version.

    Raises:
        StoreError: If MLflow does not have the model.
    """
    with model_folder(settings, uri) as folder:
        return files_digest(folder)


def files_digest(folder: Path) -> str:
    """Return the SHA-256 of the names and contents of the files of a model, 64 hexadecimal digits.

    Files that are added when it is loaded by pyfunc do not count.

    Raises:
        StoreError: If there is none, or one that is not a regular file.
    """
    digests: dict[str, str] = {}
    for file in sorted(folder.rglob("*")):
        if file.is_dir() and not file.is_symlink():
            continue
        if file.is_symlink() or not file.is_file():
            raise StoreError(f"{file} is not a regular file", "a model has no others: remove it")
        if not {META, BYTECODE} & {*file.relative_to(folder).parts}:
            digests[str(file.relative_to(folder))] = digest(file)
    if not digests:
        raise StoreError(f"there is no model in {folder}", "bring its files back from a backup")
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def require_files(folder: Path, expected: str | None) -> None:
    """Compare the files of a model with their digest, before any of them is loaded.

    Without a digest, as in versions of older releases, only files are accepted that Twinvec logs, and no code.

    Raises:
        StoreError: If they differ.
    """
    actual = files_digest(folder)
    if expected is not None:
        if actual != expected:
            raise StoreError(
                f"the files in {folder} are not those that were logged: their digest is {actual[:16]}…, "
                f"not {expected[:16]}…",
                "nothing was loaded from them; bring them back from a backup",
            )
        return
    names = [str(file.relative_to(folder)) for file in sorted(folder.rglob("*")) if file.is_file()]
    strange = [name for name in names if EXPECTED.fullmatch(name) is None]
    if strange:
        raise StoreError(
            f"{folder} holds {strange[0]}, which Twinvec does not log", "nothing was loaded; remove the file"
        )
    flavours = yaml.safe_load((folder / MLMODEL).read_text("utf-8")).get("flavors", {})
    if any(flavour.get("code") for flavour in flavours.values()):
        raise StoreError(
            f"{folder / MLMODEL} names code to be run, and Twinvec logs none", "nothing was loaded from it"
        )

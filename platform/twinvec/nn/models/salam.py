"""SALAM (Choudhary et al., KDD 2022): a text encoder and two graph encoders, joined by attention.

https://doi.org/10.1145/3534678.3539158. Numbers of equations are the paper's. Every pair has its own mask, so that a
pair without purchases is classified by its text alone, whatever else is in its batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from twinvec.nn.layers.neighbourhood import NeighbourhoodEncoder, Neighbourhoods

Pooling = Literal["views", "features"]
SIDES = ("query", "product")


class FeaturePooling(nn.Module):
    """Attention between single features of the concatenated text and graph vectors (equations 6 to 9).

    Equation 8 sums over j and prints v_i. The weights of a row sum to one, so that a_i would be v_i and nothing would
    be attended to: v_j is meant, as in the attention that the paper cites.

    Args:
        length: Length of each of the three vectors, f.
        hidden: Number of features that attend to each other, h.
        classes: Number of classes.
    """

    def __init__(self, length: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(nn.Linear(3 * length, hidden) for _ in range(3))
        self.out = nn.Linear(hidden, classes)
        self.hidden = hidden

    def forward(self, views: Tensor, present: Tensor) -> Tensor:
        """Return the logits, [b, classes].

        Args:
            views: Vectors of text, query graph and product graph, [b, 3, f].
            present: True for the views that a pair has, bool [b, 3].
        """
        joined = (views * present.unsqueeze(2)).flatten(1)
        query, key, value = (projection(joined) for projection in self.projections)
        # b: pair, i: feature that attends, j: feature attended to
        weights = (query.unsqueeze(2) * key.unsqueeze(1) / math.sqrt(2 * self.hidden)).softmax(dim=2)
        logits: Tensor = self.out(torch.einsum("bij,bj->bi", weights, value))
        return logits


class _ViewRole(nn.Module):
    """A linear map for each of the three views: queries, keys or values."""

    def __init__(self, length: int, hidden: int) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(length, hidden) for _ in range(3))

    def forward(self, views: Tensor) -> Tensor:
        """Return the mapped views, [b, 3, h]."""
        mapped = [each(view) for each, view in zip(self.maps, views.unbind(1), strict=True)]
        return torch.stack(mapped, dim=1)


class ViewPooling(nn.Module):
    """Attention between the three views: text, query graph, product graph.

    Each view has its own projections. A view that a pair lacks is not attended to, and does not attend.

    Args:
        length: Length of each of the three vectors, f.
        hidden: Length of queries, keys and values, h.
        classes: Number of classes.
    """

    def __init__(self, length: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.roles = nn.ModuleList(_ViewRole(length, hidden) for _ in range(3))
        self.out = nn.Linear(3 * hidden, classes)
        self.hidden = hidden

    def forward(self, views: Tensor, present: Tensor) -> Tensor:
        """Return the logits, [b, classes]; arguments as those of `FeaturePooling`."""
        query, key, value = (role(views) for role in self.roles)
        # b: pair, i: view that attends, j: view attended to, h: coordinate
        scores = torch.einsum("bih,bjh->bij", query, key) / math.sqrt(self.hidden)
        weights = scores.masked_fill(~present.unsqueeze(1), -torch.inf).softmax(dim=2)
        pooled = torch.einsum("bij,bjh->bih", weights, value) * present.unsqueeze(2)
        logits: Tensor = self.out(pooled.flatten(1))
        return logits


POOLINGS: Mapping[Pooling, type[FeaturePooling | ViewPooling]] = {
    "features": FeaturePooling,
    "views": ViewPooling,
}


class Salam(nn.Module):
    """Class of a pair of query and product from its text and the neighbourhoods of both in the purchase graph.

    Args:
        encoder: Text encoder, called with `input_ids` and `attention_mask`, int64 [b, t]; returns an object whose
            `last_hidden_state` is [b, t, F]. It reads query and product as one sequence.
        text_length: Length of its vectors, F.
        node_length: Length of the nodes' input vectors.
        classes: Number of classes.
        graph: Name of the graph layer; `none` for a model of text alone.
        pooling: Attention between `views` or between `features`.
        length: Length of the vectors that are pooled, f.
        hidden: Hidden units of the graph encoders.
        attention: Hidden units of the attention, h.
    """

    def __init__(
        self,
        encoder: nn.Module,
        text_length: int,
        node_length: int,
        classes: int,
        graph: str = "gcn",
        pooling: Pooling = "views",
        length: int = 16,
        hidden: int = 16,
        attention: int = 8,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.dense = nn.Linear(text_length, length)
        self.sides = nn.ModuleDict(
            {
                side: NeighbourhoodEncoder(graph, node_length, hidden, length)
                for side in SIDES
                if graph != "none"
            }
        )
        self.pooling = POOLINGS[pooling](length, attention, classes)
        self.length = length

    def hidden(self, tokens: Mapping[str, Tensor]) -> Tensor:
        """Return what the text encoder makes of pairs, [b, F]: the mean of its vectors of all tokens."""
        mask = tokens["attention_mask"].unsqueeze(2)
        states: Tensor = self.encoder(**tokens).last_hidden_state
        return (states * mask).sum(dim=1) / mask.sum(dim=1)

    def text(self, hidden: Tensor) -> Tensor:
        """Return the text vectors of pairs, t, [b, f], from what the encoder made of them (equation 2)."""
        vectors: Tensor = self.dense(hidden)
        return vectors

    def neighbourhood(self, side: str, graph: Neighbourhoods) -> Tensor:
        """Return the vectors of the neighbourhoods of queries or of products, [r, f] (equations 3 and 4).

        They depend on the root alone, so that they are computed once for each query and product, not for each pair.
        """
        # Vectors of length one have coordinates far below one, from which the first layer would learn slowly.
        scaled = graph.features * math.sqrt(graph.features.shape[1])
        vectors: Tensor = self.sides[side](replace(graph, features=scaled))
        return vectors

    def classify(self, text: Tensor, query: Tensor, product: Tensor, known: Tensor) -> Tensor:
        """Return the logits, [b, classes] (equations 5 to 9, before the softmax).

        Args:
            text: Text vectors of the pairs, [b, f].
            query, product: Vectors of the neighbourhoods of both sides, [b, f]; rows that are not known are ignored.
            known: True for the pairs that have both neighbourhoods, bool [b]. The others are classified by text alone.
        """
        present = torch.stack([torch.ones_like(known), known, known], dim=1)
        views = torch.stack([text, query, product], dim=1)
        logits: Tensor = self.pooling(views, present)
        return logits

"""DAEMON's loss for directed edges: contrast with random products, and a term of asymmetry (ECML 2022)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from twinvec.nn.training.transfer import array_on

IntArray = npt.NDArray[np.int64]


def directed_loss(
    forward: Tensor, random: Tensor, one_way: Tensor, backward: Tensor, asymmetry: float
) -> Tensor:
    """Return the loss of section "GNN embeddings", last paragraph but one: contrast, and the term of asymmetry.

    For edges u → v and random products z, the mean over all edges of

        −log σ(s_u·t_v) − mean_z log σ(−s_u·t_z) + λ [−log σ(s_u·t_v) − log σ(−s_v·t_u)],

    the bracket for one-way edges only. The article gives the terms in words. The logistic form is our choice. So is
    that the edges of a step share their random products, which makes many of them cheap.

    Args:
        forward: s_u·t_v, [edges].
        random: s_u·t_z, [edges, negatives]; −∞ where z is u itself.
        one_way: Positions of the edges without a reverse edge, int64 [one-way edges].
        backward: s_v·t_u of these edges, [one-way edges].
        asymmetry: λ.

    Returns:
        A scalar.

    Example:
        >>> import torch
        >>> forward, backward = torch.tensor([2.0, 2.0]), torch.tensor([-2.0])
        >>> one_way = torch.tensor([1])
        >>> loss = directed_loss(forward, torch.zeros(2, 5), one_way, backward, asymmetry=0.1)
        >>> loss.shape
        torch.Size([])
        >>> bool(directed_loss(forward, torch.zeros(2, 5), one_way, -backward, asymmetry=0.1) > loss)
        True
    """
    contrast = functional.softplus(-forward).mean() + functional.softplus(random).mean()
    directed = functional.softplus(-forward[one_way]) + functional.softplus(backward)
    return contrast + asymmetry * directed.sum() / len(forward)


@dataclass(frozen=True)
class DirectedBatch:
    """Edges, random products and the reverses of one-way edges, as positions among the seeds.

    Attributes:
        seeds: Distinct nodes of the double cover, int64.
        source, target: Positions of the edges' ends, int64 [edges].
        negatives: Positions of the random products as targets, int64 [negatives].
        one_way: Positions of the one-way edges among the edges, int64 [one-way edges].
        reverse_source, reverse_target: Positions of the ends of their reverses, int64 [one-way edges].
        products: Number of products in the graph.
        asymmetry: λ of `directed_loss`.
    """

    seeds: Tensor
    source: Tensor
    target: Tensor
    negatives: Tensor
    one_way: Tensor
    reverse_source: Tensor
    reverse_target: Tensor
    products: int
    asymmetry: float

    def loss(self, vectors: Tensor) -> Tensor:
        """Return `directed_loss`, a scalar, of the seeds' vectors, [seeds, d]."""
        source = vectors[self.source]
        own = self.seeds[self.negatives] - self.products == self.seeds[self.source].unsqueeze(1)
        return directed_loss(
            (source * vectors[self.target]).sum(1),
            (source @ vectors[self.negatives].T).masked_fill(own, -torch.inf),
            self.one_way,
            (vectors[self.reverse_source] * vectors[self.reverse_target]).sum(1),
            self.asymmetry,
        )


@dataclass(frozen=True)
class DirectedObjective:
    """Each edge against random products, and each one-way edge against its reverse.

    Attributes:
        source, target: Products at the edges' ends, int64 [edges].
        one_way: Whether an edge has no reverse edge, bool [edges]; see `is_one_way`.
        products: Number of products.
        negatives: Random products drawn a step. All edges of the step share them.
        asymmetry: λ of `directed_loss`.
        batch: Edges a step.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> source, target = np.array([0, 0, 2]), np.array([1, 2, 0])
        >>> objective = DirectedObjective(
        ...     torch.from_numpy(source), torch.from_numpy(target), is_one_way(source, target, products=4),
        ...     products=4, negatives=5, asymmetry=0.1, batch=2,
        ... )
        >>> for batch in objective.batches(np.random.default_rng(0)):
        ...     print(len(batch.source), batch.loss(torch.zeros(len(batch.seeds), 16)).shape)
        2 torch.Size([])
        1 torch.Size([])
    """

    source: Tensor
    target: Tensor
    one_way: Tensor
    products: int
    negatives: int
    asymmetry: float
    batch: int

    def batches(self, generator: np.random.Generator) -> Iterator[DirectedBatch]:
        """Yield the batches of one epoch: every edge once."""
        device = self.source.device
        order = array_on(generator.permutation(len(self.source)), device)
        for chosen in torch.split(order, self.batch):
            source, target = self.source[chosen], self.target[chosen]
            negatives = array_on(generator.integers(0, self.products, self.negatives), device)
            one_way = self.one_way[chosen].nonzero().squeeze(1)
            as_target = self.products
            parts = [
                source,
                target + as_target,
                negatives + as_target,
                target[one_way],
                source[one_way] + as_target,
            ]
            seeds, place = torch.unique(torch.cat(parts), return_inverse=True)
            places = torch.split(place, [len(part) for part in parts])
            yield DirectedBatch(
                seeds,
                source=places[0],
                target=places[1],
                negatives=places[2],
                one_way=one_way,
                reverse_source=places[3],
                reverse_target=places[4],
                products=self.products,
                asymmetry=self.asymmetry,
            )


def is_one_way(source: IntArray, target: IntArray, products: int) -> Tensor:
    """Return whether each edge has no reverse edge, bool [edges].

    Args:
        source, target: Products at the edges' ends, int64 [edges].
        products: Number of products.

    Example:
        >>> import numpy as np
        >>> is_one_way(np.array([0, 0, 2]), np.array([1, 2, 0]), products=3).tolist()
        [True, False, False]
    """
    pairs, reverses = source * products + target, target * products + source
    return torch.from_numpy(~np.isin(reverses, pairs))

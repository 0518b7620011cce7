"""A trained model as a function of plain tensors, for export: it runs without this library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from twinvec.nn.calibration import Calibration
from twinvec.nn.features import Features
from twinvec.nn.graph_encoder import GraphEncoder
from twinvec.nn.sampling.blocks import Hop, Neighbours


class FullGraph(nn.Module):
    """Source and target vectors of all n products, from their features and the whole graph.

    The neighbours by each relation are two tensors, offsets int64 [2n + 1] and positions int64 [edges]; see
    `twinvec.nn.sampling.blocks.Neighbours`. There are at most four relations; the arguments of absent ones are omitted.

    Args:
        encoder: The trained model.
        relations: Names of its edge types, in the order of their arguments. The first is the relation that is
            predicted.
        calibration: Applied to the vectors at the end, if given.

    Example:
        >>> import torch
        >>> from twinvec.nn.features import Features
        >>> from twinvec.nn.models import MERLIN
        >>> from twinvec.nn.sampling.blocks import double_cover
        >>> graph = {"copurchase": double_cover(torch.tensor([0, 0]), torch.tensor([1, 2]), products=3)}
        >>> encoder = MERLIN(content=6, dimension=16, layers=2, relations=list(graph))
        >>> inputs = full_graph_inputs(Features(torch.randn(3, 6), torch.zeros(6, 0)), graph)
        >>> list(inputs)
        ['content', 'proximity', 'copurchase_offsets', 'copurchase_positions']
        >>> with torch.no_grad():
        ...     source, target = FullGraph(encoder, list(graph))(*inputs.values())
        >>> source.shape
        torch.Size([3, 16])
    """

    def __init__(
        self, encoder: GraphEncoder, relations: Sequence[str], calibration: Calibration | None = None
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.relations = tuple(relations)
        self.calibration = calibration

    def forward(
        self,
        content: Tensor,
        proximity: Tensor,
        first_offsets: Tensor,
        first_positions: Tensor,
        second_offsets: Tensor | None = None,
        second_positions: Tensor | None = None,
        third_offsets: Tensor | None = None,
        third_positions: Tensor | None = None,
        fourth_offsets: Tensor | None = None,
        fourth_positions: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return source and target vectors, float32 [n, dimension] each.

        Args:
            content: float32 [n, c].
            proximity: Factors of the 2n nodes of the double cover, sources first, float32 [2n, p].
            first_offsets, first_positions: Neighbours of all nodes by the first relation; the same for the others.
        """
        pairs = (
            (first_offsets, first_positions),
            (second_offsets, second_positions),
            (third_offsets, third_positions),
            (fourth_offsets, fourth_positions),
        )
        neighbours = {
            name: Neighbours(offsets, positions)
            for name, (offsets, positions) in zip(self.relations, pairs, strict=False)
            if offsets is not None and positions is not None
        }
        hop = Hop(neighbours, proximity.shape[0])
        is_target = torch.arange(proximity.shape[0], device=content.device) >= content.shape[0]
        vectors = self.encoder.start(torch.cat([content, content]), proximity, is_target)
        for index in range(len(self.encoder.layers)):
            vectors = self.encoder.step(index, vectors, vectors, hop)
        source, target = vectors[: content.shape[0]], vectors[content.shape[0] :]
        if self.calibration is None:
            return source, target
        calibrated: tuple[Tensor, Tensor] = self.calibration(source, target, neighbours[self.relations[0]])
        return calibrated


def full_graph_inputs(features: Features, graph: Mapping[str, Neighbours]) -> dict[str, Tensor]:
    """Return the arguments of `FullGraph.forward` by name, in order.

    Example:
        >>> import torch
        >>> from twinvec.nn.sampling.blocks import double_cover
        >>> graph = {"copurchase": double_cover(torch.tensor([0]), torch.tensor([1]), products=2)}
        >>> inputs = full_graph_inputs(Features(torch.zeros(2, 3), torch.zeros(4, 0)), graph)
        >>> {name: list(value.shape) for name, value in inputs.items()}
        {'content': [2, 3], 'proximity': [4, 0], 'copurchase_offsets': [5], 'copurchase_positions': [2]}
    """
    inputs = {"content": features.content, "proximity": features.proximity}
    for name, neighbours in graph.items():
        inputs[f"{name}_offsets"] = neighbours.offsets
        inputs[f"{name}_positions"] = neighbours.positions
    return inputs

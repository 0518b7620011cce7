"""The dual-embedding model as a function of plain tensors, to be kept in MLflow and run without our code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pipelines.related.calibration import Calibration
from twinvec.nn.features import Features
from twinvec.nn.graph_encoder import GraphEncoder
from twinvec.nn.sampling.blocks import Hop, Neighbours


class FullGraph(nn.Module):
    """Source and target vectors of all n products, from their features and the whole graph.

    The neighbours of each relation are two tensors, offsets int64 [2n + 1] and positions int64 [edges]; see
    `twinvec.nn.sampling.blocks.Neighbours`. Relations that the encoder does not have are left out at the end.

    Args:
        encoder: the trained model.
        relations: names of its edge types, in the order in which their tensors are given; the first is predicted.
        calibration: what is done to the vectors at last, if anything.
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
        """Source and target vectors, float32 [n, dimension] each.

        Args:
            content: float32 [n, c].
            proximity: factors of the 2n nodes of the double cover, sources first, float32 [2n, p].
            first_offsets, first_positions: neighbours of all nodes by the first relation; and so on.
        """
        given = (
            (first_offsets, first_positions),
            (second_offsets, second_positions),
            (third_offsets, third_positions),
            (fourth_offsets, fourth_positions),
        )
        neighbours = {
            name: Neighbours(offsets, positions)
            for name, (offsets, positions) in zip(self.relations, given, strict=False)
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
    """The arguments of `FullGraph.forward` by name, in order."""
    inputs = {"content": features.content, "proximity": features.proximity}
    for name, neighbours in graph.items():
        inputs[f"{name}_offsets"] = neighbours.offsets
        inputs[f"{name}_positions"] = neighbours.positions
    return inputs

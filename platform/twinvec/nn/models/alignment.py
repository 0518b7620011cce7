"""Alignment: one graph convolution over co-views on concatenated text and image features (MERLIN 3.5, 4.1.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from twinvec.nn.graph_encoder import GraphEncoder
from twinvec.nn.sampling.aggregation import sum_neighbours
from twinvec.nn.sampling.blocks import Neighbours

# Whitening divides by the products' deviation along an axis, and by no less than this share of that along the first
# axis: what is smaller is noise.
LEAST_DEVIATION = 0.01


@dataclass(frozen=True)
class ContentFeatures:
    """Text and image features of n products, and masks of the products that have them.

    Attributes:
        text: Text features, float32 [n, t].
        has_text: Whether each product has text features, bool [n].
        image: Image features, float32 [n, i]; i may be 0.
        has_image: Whether each product has image features, bool [n].
    """

    text: Tensor
    has_text: Tensor
    image: Tensor
    has_image: Tensor

    @property
    def nodes(self) -> int:
        """Number of products."""
        return len(self.text)

    @property
    def device(self) -> torch.device:
        """Device of the features."""
        return self.text.device

    def of(self, nodes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the features of some products, as `FullCoviews.forward` takes them."""
        return self.text[nodes], self.has_text[nodes], self.image[nodes], self.has_image[nodes]

    def rows(self) -> Tensor:
        """Return the features side by side, float32 [n, t + i + 2].

        Missing ones are zeros. The last two columns are 1 where the text, or the image, is missing.
        """
        text, image = self.has_text.unsqueeze(1), self.has_image.unsqueeze(1)
        return torch.cat(
            [
                torch.where(text, self.text, 0.0),
                torch.where(image, self.image, 0.0),
                (~text).float(),
                (~image).float(),
            ],
            dim=1,
        )

    def to(self, device: torch.device) -> ContentFeatures:
        """Return the features on another device."""
        return ContentFeatures(
            self.text.to(device), self.has_text.to(device), self.image.to(device), self.has_image.to(device)
        )


@dataclass(frozen=True)
class CoviewMeans:
    """Mean features of n products and their co-viewed products, which is all that the encoder reads of the graph.

    The encoder is linear up to the length of its vectors, so a mean is computed once, not in each step (as SGC, Wu et
    al., ICML 2019). Nodes from n on are ends of pairs: node n + p is the source of pair p, and node n + e + p its
    target, of e pairs. Their mean leaves the other end of the pair out. Otherwise the mean of a product contains what
    training asks for, and the encoder learns to find what it is given.

    Attributes:
        own: Features of each product, float32 [n, t + i + 2]; see `ContentFeatures.rows`.
        means: Their mean over the product and its co-viewed products, float32 [n, t + i + 2].
        sizes: Number of rows in each mean, float32 [n].
        pairs: Co-viewed products that stand in each other's mean, int64 [2, e]; e may be 0.
    """

    own: Tensor
    means: Tensor
    sizes: Tensor
    pairs: Tensor

    @property
    def nodes(self) -> int:
        """Number of nodes, n + 2e."""
        return len(self.means) + self.pairs.numel()

    @property
    def device(self) -> torch.device:
        """Device of the means."""
        return self.means.device

    def of(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the means and the features of some nodes, float32 [nodes, t + i + 2] each.

        They are the arguments of `AlignmentEncoder.start`.
        """
        products = len(self.means)
        is_end = nodes >= products
        # Both ends, in the order of the nodes: the product of each, and the other end of its pair.
        place = torch.where(is_end, nodes - products, 0)
        here = nodes.clone()
        here[is_end] = self.pairs.flatten()[place[is_end]]
        means = functional.embedding(here, self.means)
        if bool(is_end.any()):
            other = self.pairs.flip(0).flatten()[place[is_end]]
            size = self.sizes[here[is_end]].unsqueeze(1)
            means[is_end] = (size * means[is_end] - functional.embedding(other, self.own)) / (size - 1)
        return means, functional.embedding(here, self.own)

    def only(self, products: Tensor) -> CoviewMeans:
        """Return the means of some products, int64 [products], without pairs."""
        none = self.pairs.new_zeros(2, 0)
        return CoviewMeans(self.own[products], self.means[products], self.sizes[products], none)


def coview_means(features: ContentFeatures, coviews: Neighbours, pairs: Tensor | None = None) -> CoviewMeans:
    """Return the mean features of each product and its co-viewed products.

    Args:
        features: Features of n products.
        coviews: Co-viewed products of each, on the features' device.
        pairs: Pairs that `coviews` holds in both directions, int64 [2, e]; none if not given.

    Example:
        >>> from twinvec.nn.sampling.blocks import from_edges
        >>> yes, no = torch.tensor([True, True]), torch.tensor([False, False])
        >>> features = ContentFeatures(torch.tensor([[1.0], [3.0]]), yes, torch.zeros(2, 0), no)
        >>> pair = torch.tensor([[0], [1]])
        >>> means = coview_means(features, from_edges(pair.flatten(), pair.flip(0).flatten(), 2), pair)
        >>> means.of(torch.tensor([0, 2]))[0][:, 0].tolist()
        [2.0, 1.0]
    """
    own = features.rows()
    means, sizes = _mean_with_neighbours(own, coviews)
    return CoviewMeans(own, means, sizes, sizes.new_zeros(2, 0).long() if pairs is None else pairs)


class AlignmentEncoder(GraphEncoder):
    """θ_u = W mean(x_u and the x_v of its co-viewed products) + b, with x = [text, image], and the content beside it.

    W and b are the paper's, and are learned. Co-views teach W what viewed products share; it forgets the rest, which
    may be what bought products share. So half of the coordinates are P x_u, the first principal axes of the content,
    whitened. Each part has unit length and is weighed, so that `share` of a cosine is of P x_u; the whole has unit
    length. The paper compares products by dot products and says nothing of length: with free lengths, a few long
    vectors are the nearest of every product. A missing text or image is replaced by a learned vector, since a zero
    would look like a feature.

    Args:
        text: Length t of the text features.
        image: Length i of the image features; 0 if there are none.
        dimension: Length of the aligned vectors.
        share: Share of the content in the cosine of two products, from 0 to below 1. With 0, as in the paper, all
            coordinates are learned.

    Example:
        >>> encoder = AlignmentEncoder(text=4, image=3, dimension=2)
        >>> features = ContentFeatures(torch.ones(2, 4), torch.ones(2) > 0, torch.ones(2, 3), torch.ones(2) < 0)
        >>> encoder.start(features.rows(), features.rows()).shape
        torch.Size([2, 2])
    """

    RELATION = "coview"

    def __init__(self, text: int, image: int, dimension: int, share: float = 0.0) -> None:
        super().__init__()
        self.share = share
        self.no_text = nn.Parameter(torch.randn(text) / max(text, 1) ** 0.5)
        self.no_image = nn.Parameter(torch.randn(image) / max(image, 1) ** 0.5)
        kept = dimension // 2 if share else 0
        self.weight = nn.Linear(text + image, dimension - kept)
        self.axes = nn.Linear(text + image, kept).requires_grad_(False) if kept else None
        # What the encoder reads of the graph is in the means.
        self.layers = nn.ModuleList()

    def start(self, means: Tensor, own: Tensor) -> Tensor:
        """Return the vectors of some products, float32 [nodes, dimension], of unit length.

        Args:
            means: Means over each product and its co-viewed products, float32 [nodes, t + i + 2]; see
                `ContentFeatures.rows`.
            own: Features of the products themselves, float32 [nodes, t + i + 2].
        """
        aligned = functional.normalize(self.weight(self.filled(means)), dim=1)
        if self.axes is None:
            return aligned
        content = functional.normalize(self.axes(self.filled(own)), dim=1)
        return torch.cat([(1 - self.share) ** 0.5 * aligned, self.share**0.5 * content], dim=1)

    def filled(self, rows: Tensor) -> Tensor:
        """Return features or means with the learned vectors in place of what is missing, float32 [nodes, t + i]."""
        learned = torch.cat([rows[:, -2:-1] * self.no_text, rows[:, -1:] * self.no_image], dim=1)
        return rows[:, :-2] + learned

    @torch.no_grad()
    def start_at_principal_axes(self, features: Tensor) -> None:
        """Let W start at the principal axes of some products' features, and set P to them, whitened.

        Args:
            features: Features of a sample of products, float32 [sample, t + i + 2].
        """
        inputs = self.filled(features)
        rank = min(*inputs.shape, self.weight.out_features)
        _, deviations, axes = torch.pca_lowrank(inputs, rank)

        def project(part: nn.Linear, columns: Tensor) -> None:
            rows = columns.T[: part.out_features]
            part.weight[: len(rows)] = rows
            part.bias[: len(rows)] = -(rows @ inputs.mean(0))

        project(self.weight, axes)
        if self.axes is not None:
            least = (LEAST_DEVIATION * deviations[0]).clamp_min(1e-6)  # all products may be alike
            project(self.axes, axes / deviations.clamp_min(least) * len(inputs) ** 0.5)


class FullCoviews(nn.Module):
    """The alignment encoder as a function of plain tensors, over all products and all their co-views.

    It is exported and kept in MLflow, from where it runs without this code.

    Args:
        encoder: The trained model.

    Example:
        >>> encoder = AlignmentEncoder(text=4, image=3, dimension=2)
        >>> FullCoviews(encoder)(**example(encoder)).shape
        torch.Size([2, 2])
    """

    def __init__(self, encoder: AlignmentEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(
        self,
        text: Tensor,
        has_text: Tensor,
        image: Tensor,
        has_image: Tensor,
        coview_offsets: Tensor,
        coview_positions: Tensor,
    ) -> Tensor:
        """Return aligned vectors of unit length, float32 [n, dimension].

        Args:
            text: Text features, float32 [n, t].
            has_text: Whether each product has text features, bool [n].
            image: Image features, float32 [n, i].
            has_image: Whether each product has image features, bool [n].
            coview_offsets: Offsets of the co-viewed products, int64 [n + 1]; see `sampling.blocks.Neighbours`.
            coview_positions: Co-viewed products, int64 [edges].
        """
        rows = ContentFeatures(text, has_text, image, has_image).rows()
        means, _ = _mean_with_neighbours(rows, Neighbours(coview_offsets, coview_positions))
        return self.encoder.start(means, rows)


def _mean_with_neighbours(rows: Tensor, neighbours: Neighbours) -> tuple[Tensor, Tensor]:
    """Return the mean of each row and its neighbours' rows, [n, w], and how many rows each is of, [n]."""
    sizes = neighbours.degrees().to(rows.dtype) + 1
    return (rows + sum_neighbours(rows, neighbours)) / sizes.unsqueeze(1), sizes


def example(encoder: AlignmentEncoder) -> dict[str, Tensor]:
    """Return arguments of `FullCoviews.forward` by name, for two products that were viewed together."""
    return {
        "text": torch.ones(2, len(encoder.no_text)),
        "has_text": torch.tensor([True, True]),
        "image": torch.ones(2, len(encoder.no_image)),
        "has_image": torch.tensor([True, False]),
        "coview_offsets": torch.arange(3),
        "coview_positions": torch.tensor([1, 0]),
    }

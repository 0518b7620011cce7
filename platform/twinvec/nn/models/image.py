"""Image encoder: a backbone, a projection to the embedding's length, and vectors of unit length (MERLIN 3.4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F


class ImageEncoder(nn.Module):
    """Normalise images, run a backbone, and project its features at random, which roughly keeps their angles.

    Args:
        backbone: Module from float32 [n, 3, size, size] to [n, f].
        features: f.
        dimension: Length of a vector, d.
        mean: Mean of red, green and blue in the images the backbone is for.
        std: Standard deviation of red, green and blue in these images.
        size: Pixels of a side, if the backbone takes one size only; other images are resized to it.

    Example:
        >>> backbone = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 5))
        >>> encoder = ImageEncoder(backbone, features=5, dimension=4, mean=(0.5,) * 3, std=(0.5,) * 3)
        >>> encoder(torch.rand(2, 3, 8, 8)).shape
        torch.Size([2, 4])
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        features: int,
        dimension: int,
        mean: Sequence[float],
        std: Sequence[float],
        size: int | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.size = backbone, size
        self.projection = nn.Linear(features, dimension)
        nn.init.orthogonal_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return vectors of unit length, [n, d], for RGB from 0 to 1, float32 [n, 3, size, size]."""
        return F.normalize(self.project(images), dim=1)

    def project(self, images: Tensor) -> Tensor:
        """Return the vectors before they are brought to unit length, [n, d]."""
        features: Tensor = self.projection(self.features(images))
        return features

    def features(self, images: Tensor) -> Tensor:
        """Return the backbone's features of RGB from 0 to 1, [n, f]."""
        if self.size is not None and images.shape[-1] != self.size:
            images = F.interpolate(images, (self.size, self.size), mode="bilinear")
        features: Tensor = self.backbone((images - self.mean) / self.std)
        return features


class MeanAndSpread(nn.Module):
    """Mean and standard deviation of a ViT's patch tokens: [n, 3, size, size] to [n, 2 width].

    The spread of the tokens within an image separates patterns and shapes better than their mean or the class token,
    which hold little but the image's colour before training.
    """

    def __init__(self, vit: VisionTransformer) -> None:
        super().__init__()
        self.vit = vit

    def forward(self, images: Tensor) -> Tensor:
        """Return both, concatenated."""
        patches: Tensor = self.vit.forward_features(images)[:, self.vit.num_prefix_tokens :]
        return torch.cat([patches.mean(dim=1), patches.std(dim=1)], dim=1)


def convolutions(width: int) -> nn.Sequential:
    """Return three convolutions that reduce a side to a quarter; with them a ViT learns sooner than with patches.

    Example:
        >>> convolutions(8)(torch.rand(1, 3, 16, 16)).shape
        torch.Size([1, 8, 4, 4])
    """
    layers: list[nn.Module] = []
    for before, after, stride in ((3, width // 4, 2), (width // 4, width // 2, 2), (width // 2, width, 1)):
        layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.GroupNorm(1, after), nn.GELU()]
    return nn.Sequential(*layers)

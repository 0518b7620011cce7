"""Image encoders: a backbone, a projection to the embedding's length, and vectors of length one (MERLIN 3.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, cast

import numpy as np
import numpy.typing as npt
import open_clip
import timm
import torch
from timm.layers.hybrid_embed import HybridEmbed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.encoding.pretrained import load_pretrained
from twinvec.errors import SettingsError

UNTRAINED = "vit_small_untrained"
TIMM = "timm:"
OPEN_CLIP = "open_clip:"
INSTEAD = f"use {UNTRAINED!r}, which needs no download"
HALF = (0.5, 0.5, 0.5)


class ImageEncoder(nn.Module):
    """Normalises images, runs a backbone and projects its features at random, which keeps their angles about.

    Args:
        backbone: float32 [n, 3, size, size] to [n, f].
        features: f.
        dimension: length of a vector, d.
        mean, std: of red, green and blue in the images the backbone is for.
        size: pixels of a side, where the backbone takes one size only; others are resized.
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
        """RGB from 0 to 1, float32 [n, 3, size, size], to vectors of length one, [n, d]."""
        return F.normalize(self.project(images), dim=1)

    def project(self, images: Tensor) -> Tensor:
        """The vectors before they are brought to length one, [n, d]."""
        features: Tensor = self.projection(self.features(images))
        return features

    def features(self, images: Tensor) -> Tensor:
        """What the backbone makes of RGB from 0 to 1, [n, f]."""
        if self.size is not None and images.shape[-1] != self.size:
            images = F.interpolate(images, (self.size, self.size), mode="bilinear")
        found: Tensor = self.backbone((images - self.mean) / self.std)
        return found


class MeanAndSpread(nn.Module):
    """Mean and standard deviation of a ViT's patch tokens: [n, 3, size, size] to [n, 2 width].

    How much the tokens differ within an image tells pattern and shape apart better than their mean or the class
    token do, which hold little but the image's colour before they are trained.
    """

    def __init__(self, vit: VisionTransformer) -> None:
        super().__init__()
        self.vit = vit

    def forward(self, images: Tensor) -> Tensor:
        """Both, side by side."""
        patches: Tensor = self.vit.forward_features(images)[:, self.vit.num_prefix_tokens :]
        return torch.cat([patches.mean(dim=1), patches.std(dim=1)], dim=1)


def convolutions(width: int) -> nn.Sequential:
    """Three convolutions that leave a quarter of a side, in place of a cut into patches: a ViT learns sooner so."""
    layers: list[nn.Module] = []
    for before, after, stride in ((3, width // 4, 2), (width // 4, width // 2, 2), (width // 2, width, 1)):
        layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.GroupNorm(1, after), nn.GELU()]
    return nn.Sequential(*layers)


def load_encoder(name: str, size: int, dimension: int, seed: int) -> ImageEncoder:
    """Build an encoder, in evaluation mode on the CPU.

    Args:
        name: `vit_small_untrained`, `timm:NAME` or `open_clip:NAME/PRETRAINED`.
        size: pixels of a side of the images.
        dimension: length of a vector.
        seed: of the projection, and of weights that are not pretrained.

    Raises:
        SettingsError: if there is no such model, it cannot be downloaded, or it is for images of another size.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name == UNTRAINED:
            encoder = _untrained(size, dimension)
        elif name.startswith(TIMM):
            encoder = _timm(name, size, dimension)
        elif name.startswith(OPEN_CLIP) and "/" in name:
            encoder = _open_clip(name, size, dimension)
        else:
            raise SettingsError(
                f"image.model is {name!r}, which is no image encoder",
                f"it is {UNTRAINED!r}, `timm:NAME` or `open_clip:NAME/PRETRAINED`",
            )
    return encoder.eval()


def encode_images(
    encoder: ImageEncoder,
    pixels: npt.NDArray[np.uint8],
    batch: int,
    precision: Literal["float32", "bfloat16"] = "float32",
) -> npt.NDArray[np.float32]:
    """Vectors of length one, float32 [n, d].

    Args:
        encoder: in evaluation mode, on the device where it computes.
        pixels: RGB, uint8 [n, 3, size, size].
        batch: images in one forward pass.
        precision: `bfloat16` multiplies matrices in bfloat16 and leaves the weights as they are.
    """
    device = encoder.mean.device
    mixed = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
    vectors = np.empty((len(pixels), encoder.projection.out_features), np.float32)
    with torch.inference_mode():
        for first in range(0, len(pixels), batch):
            images = torch.from_numpy(pixels[first : first + batch]).to(device).float() / 255
            with mixed:
                some = encoder(images)
            vectors[first : first + batch] = F.normalize(some.float(), dim=1).cpu().numpy()
    return vectors


def _untrained(size: int, dimension: int) -> ImageEncoder:
    width, patch = 96, 4
    if size % patch:
        raise SettingsError(
            f"image.size is {size}, and {UNTRAINED!r} cuts images into patches of {patch} pixels",
            f"set image.size to a multiple of {patch}",
        )
    vit = VisionTransformer(
        img_size=size,
        patch_size=1,  # of what the convolutions leave
        embed_dim=width,
        depth=2,
        num_heads=3,
        mlp_ratio=2,
        num_classes=0,
        dynamic_img_size=True,
        embed_layer=partial(HybridEmbed, backbone=convolutions(width)),
    )
    return ImageEncoder(MeanAndSpread(vit), 2 * width, dimension, HALF, HALF)


def _timm(name: str, size: int, dimension: int) -> ImageEncoder:
    known = name.removeprefix(TIMM)
    made_for = timm.get_pretrained_cfg(known) if timm.is_model_pretrained(known) else None
    if made_for is None:
        raise SettingsError(f"image.model is {name!r}, and timm has no such pretrained model", INSTEAD)
    _require_size(name, made_for.input_size[-1], size)
    backbone = _download(name, lambda: timm.create_model(known, pretrained=True, num_classes=0))
    return ImageEncoder(
        backbone, cast(int, backbone.num_features), dimension, made_for.mean, made_for.std, size
    )


def _open_clip(name: str, size: int, dimension: int) -> ImageEncoder:
    known, _, weights = name.removeprefix(OPEN_CLIP).rpartition("/")
    if not open_clip.is_pretrained_cfg(known, weights):
        raise SettingsError(f"image.model is {name!r}, and open-clip has no such pretrained model", INSTEAD)
    made_for = open_clip.get_model_config(known)
    _require_size(name, made_for["vision_cfg"]["image_size"], size)
    backbone = _download(name, lambda: open_clip.create_model(known, pretrained=weights).visual)
    colours = open_clip.get_model_preprocess_cfg(backbone)
    return ImageEncoder(backbone, made_for["embed_dim"], dimension, colours["mean"], colours["std"], size)


def _download(name: str, load: Callable[[], nn.Module]) -> nn.Module:
    return load_pretrained("image.model", name, load, INSTEAD)


def _require_size(name: str, side: int, size: int) -> None:
    """Refused before anything is downloaded."""
    if side != size:
        raise SettingsError(
            f"image.model {name!r} is for images of {side} pixels, and image.size is {size}",
            f"set image.size to {side}",
        )

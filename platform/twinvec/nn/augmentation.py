"""Random views of images (MERLIN 3.4): crop, colour jitter, grey and blur, with draws for each image.

torchvision's transforms draw once for a whole batch, or take images one by one, at several times the cost of a small
ViT. Here a view is two matrix products, which resample rows and columns, and one that mixes the colours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from twinvec.draws import uniform

# Uniform random numbers of a view: area, aspect, place (2), jitter, its four strengths, grey, blur and its width.
DRAWS = 12
GREY = (0.299, 0.587, 0.114)
ASPECT = 4 / 3


@dataclass(frozen=True)
class Augmentation:
    """Distribution of the views of an image.

    Attributes:
        size: Pixels of a side of the view.
        area: Smallest and largest share of the image that a crop covers.
        jitter: Share of views whose colours change.
        brightness: Factors of the brightness are drawn from 1 − this to 1 + this.
        contrast: Factors of the contrast are drawn from 1 − this to 1 + this.
        saturation: Factors of the saturation are drawn from 1 − this to 1 + this.
        hue: Turns of the hue are drawn from − this to this; 1 is the whole circle.
        grey: Share of views without colour.
        blur: Share of views that are blurred.
        widest: Largest standard deviation of the blur, in pixels of the view.
    """

    size: int
    area: tuple[float, float]
    jitter: float = 0.8
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.2
    hue: float = 0.5
    grey: float = 0.2
    blur: float = 0.5
    widest: float = 0.6


def draw(seed: int, *keys: npt.NDArray[np.int64]) -> Tensor:
    """Return the random numbers of views, float32 [*keys, DRAWS] from 0 to 1, a function of `seed` and `keys`.

    Args:
        seed: Seed of the training.
        keys: Integer arrays that are broadcast against each other.

    Example:
        >>> draw(0, np.arange(3)).shape
        torch.Size([3, 12])
    """
    keys = tuple(key[..., None] for key in np.broadcast_arrays(*keys))
    return torch.from_numpy(uniform(seed, "image views", *keys, np.arange(DRAWS)).astype(np.float32))


def augment(images: Tensor, draws: Tensor, how: Augmentation) -> Tensor:
    """Return one view of each image, RGB from 0 to 1, float32 [n, 3, size, size].

    Args:
        images: RGB from 0 to 1, float32 [n, 3, side, side].
        draws: Random numbers from 0 to 1, float32 [n, DRAWS].
        how: Size of the views, and how much they may differ from the images.

    Example:
        >>> augment(torch.rand(2, 3, 16, 16), draw(0, np.arange(2)), Augmentation(8, (0.3, 1.0))).shape
        torch.Size([2, 3, 8, 8])
    """
    area, aspect, down, across, jitter, *strengths, grey, blur, width = draws.unbind(1)
    share = how.area[0] + (how.area[1] - how.area[0]) * area
    stretch = ASPECT ** (aspect - 0.5)
    sigma = torch.where(blur < how.blur, 0.1 + (how.widest - 0.1) * width, 0.0)
    side = images.shape[-1]
    rows = _resampling(side, how.size, (share.sqrt() * stretch).clamp(max=1), down, sigma)
    columns = _resampling(side, how.size, (share.sqrt() / stretch).clamp(max=1), across, sigma)
    views = rows[:, None] @ images @ columns[:, None].mT
    return _recolour(views, jitter < how.jitter, grey < how.grey, torch.stack(strengths, 1), how)


def _resampling(side: int, size: int, share: Tensor, place: Tensor, sigma: Tensor) -> Tensor:
    """Return matrices [n, size, side] that crop `share` of `side` pixels at `place`, resize it to `size`, and blur it.

    Weights fall linearly with the distance (bilinear with antialiasing), then by a Gaussian of `sigma` pixels.
    """
    pixel = share * side / size
    first = place * (1 - share) * side
    view = torch.arange(size, device=share.device)
    centres = first[:, None] + (view + 0.5) * pixel[:, None]
    away = (torch.arange(side, device=share.device) + 0.5) - centres[..., None]
    resized = (1 - away.abs() / pixel.clamp(min=1)[:, None, None]).clamp(min=0)
    resized = resized / resized.sum(dim=2, keepdim=True)
    apart = (view[:, None] - view).square()
    blurred = torch.exp(-apart / (2 * sigma.square().clamp(min=1e-4))[:, None, None])
    return (blurred / blurred.sum(dim=2, keepdim=True)) @ resized


def _recolour(views: Tensor, jittered: Tensor, grey: Tensor, strengths: Tensor, how: Augmentation) -> Tensor:
    """Change brightness, contrast, saturation and hue of the views `jittered`; remove the colour of the views `grey`.

    All of this is one affine map of a view's colours: the hue is turned about the grey axis.
    """
    spread = 2 * (strengths - 0.5) * jittered[:, None]
    brightness, contrast, saturation, turn = spread.unbind(1)
    luminance = torch.tensor(GREY, device=views.device).expand(3, 3)
    same = torch.eye(3, device=views.device)
    saturated = torch.where(grey, 0.0, 1 + how.saturation * saturation)[:, None, None]
    light = ((1 + how.brightness * brightness) * (1 + how.contrast * contrast))[:, None, None]
    colours = light * (luminance + saturated * ((same - luminance) @ _turn(turn * how.hue * 2 * torch.pi)))
    mixed = (colours @ views.flatten(2)).reshape(views.shape)
    # Contrast is relative to the view's mean grey, after the change of brightness.
    mean = (luminance[0] @ views.mean(dim=(2, 3)).mT) * (1 + how.brightness * brightness)
    offset = -how.contrast * contrast * mean
    recoloured: Tensor = mixed + offset[:, None, None, None]
    return recoloured.clamp(0, 1)


def _turn(angle: Tensor) -> Tensor:
    """Return rotations of colours about the grey axis, [n, 3, 3], by angles [n] in radians."""
    third = torch.full((3, 3), 1 / 3, device=angle.device)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=angle.device) / 3**0.5
    same = torch.eye(3, device=angle.device)
    cosine, sine = angle.cos()[:, None, None], angle.sin()[:, None, None]
    return third + cosine * (same - third) + sine * cross

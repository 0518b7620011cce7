"""Random views of images (MERLIN 3.4): crop, colour jitter, grey, blur, each image's by draws of its own.

torchvision's transforms draw once for a whole batch, or take images one by one, at several times the cost of a small
ViT. Here a view is two products of matrices, which resample rows and columns, and one that mixes the colours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from twinvec.draws import uniform

# Uniform numbers that a view takes: area, aspect, place (2), jitter, its four strengths, grey, blur and its width.
DRAWS = 12
GREY = (0.299, 0.587, 0.114)
ASPECT = 4 / 3


@dataclass(frozen=True)
class Augmentation:
    """How a view differs from its image.

    Attributes:
        size: pixels of a side of the view.
        area: smallest and largest share of the image that a crop covers.
        jitter: share of views whose colours change.
        brightness, contrast, saturation: factors are drawn from 1 − this to 1 + this.
        hue: turns are drawn from − this to this, 1 being the whole circle.
        grey: share of views without colour.
        blur: share of views that are blurred.
        widest: largest standard deviation of the blur, in pixels of the view.
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
    """The draws of views: a function of `seed` and `keys`, which are broadcast; float32 [*keys, DRAWS], 0 to 1."""
    keys = tuple(key[..., None] for key in np.broadcast_arrays(*keys))
    return torch.from_numpy(uniform(seed, "image views", *keys, np.arange(DRAWS)).astype(np.float32))


def augment(images: Tensor, draws: Tensor, how: Augmentation) -> Tensor:
    """One view of each image.

    Args:
        images: RGB from 0 to 1, float32 [n, 3, side, side].
        draws: from 0 to 1, float32 [n, DRAWS].
        how: the view's size, and how far it may differ.

    Returns:
        RGB from 0 to 1, float32 [n, 3, size, size].
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
    """Matrices [n, size, side] that cut `share` of `side` pixels out at `place`, resize it to `size`, and blur it.

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
    """Change brightness, contrast, saturation and hue of the views that are `jittered`; take the colour from `grey`.

    All of it is one affine map of a view's colours: the hue is turned about the grey axis.
    """
    spread = 2 * (strengths - 0.5) * jittered[:, None]
    brightness, contrast, saturation, turn = spread.unbind(1)
    luminance = torch.tensor(GREY, device=views.device).expand(3, 3)
    same = torch.eye(3, device=views.device)
    saturated = torch.where(grey, 0.0, 1 + how.saturation * saturation)[:, None, None]
    light = ((1 + how.brightness * brightness) * (1 + how.contrast * contrast))[:, None, None]
    colours = light * (luminance + saturated * ((same - luminance) @ _turn(turn * how.hue * 2 * torch.pi)))
    mixed = (colours @ views.flatten(2)).reshape(views.shape)
    # Contrast is about the view's mean grey, after its brightness.
    mean = (luminance[0] @ views.mean(dim=(2, 3)).mT) * (1 + how.brightness * brightness)
    offset = -how.contrast * contrast * mean
    recoloured: Tensor = mixed + offset[:, None, None, None]
    return recoloured.clamp(0, 1)


def _turn(angle: Tensor) -> Tensor:
    """Rotations of colours about the grey axis, [n, 3, 3], of angles [n] in radians."""
    third = torch.full((3, 3), 1 / 3, device=angle.device)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=angle.device) / 3**0.5
    same = torch.eye(3, device=angle.device)
    cosine, sine = angle.cos()[:, None, None], angle.sin()[:, None, None]
    return third + cosine * (same - third) + sine * cross

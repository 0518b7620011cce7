import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as F  # type: ignore[import-untyped]

from twinvec.nn.augmentation import DRAWS, Augmentation, augment, draw

SAME = Augmentation(64, (1.0, 1.0), jitter=0.0, grey=0.0, blur=0.0)
IMAGES = torch.rand(7, 3, 64, 64)


def draws_of(count: int) -> torch.Tensor:
    return draw(3, np.arange(count))


def with_draw(place: int, value: float) -> torch.Tensor:
    """Draws in the middle, which change nothing but the one at `place`."""
    draws = torch.full((len(IMAGES), DRAWS), 0.5)
    draws[:, place] = value
    return draws


def test_draws_are_a_function_of_seed_and_keys() -> None:
    pairs, views = np.arange(50)[:, None], np.arange(4)
    draws = draw(1, pairs, views)
    assert draws.shape == (50, 4, DRAWS)
    assert torch.equal(draw(1, pairs[20:30], views), draws[20:30])
    assert not torch.equal(draw(2, pairs, views), draws)
    assert len(np.unique(draws)) > 0.99 * draws.numel()
    assert abs(float(draws.mean()) - 0.5) < 0.02


def test_a_view_without_changes_is_the_image() -> None:
    torch.testing.assert_close(augment(IMAGES, with_draw(0, 0.3), SAME), IMAGES, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("share", "size"), [(0.25, 32), (0.25, 64), (0.75, 24), (1.0, 16)])
def test_a_crop_is_what_torchvision_makes_of_it(share: float, size: int) -> None:
    how = Augmentation(size, (share, share), jitter=0.0, grey=0.0, blur=0.0)
    draws = with_draw(2, 0.0)
    draws[:, 3] = 1.0  # its upper right corner
    views = augment(IMAGES, draws, how)
    side = share**0.5 * 64
    if side == round(side):
        inside = IMAGES[..., : round(side), 64 - round(side) :]
        expected = F.resize(inside, [size, size], antialias=True)
        # At the borders of the crop, torchvision knows nothing of what is outside.
        torch.testing.assert_close(views[..., 3:-3, 3:-3], expected[..., 3:-3, 3:-3], atol=1e-3, rtol=0)
    assert views.shape == (7, 3, size, size)


def test_colours_change_as_torchvision_changes_them() -> None:
    images = 0.3 + 0.4 * IMAGES  # nothing is clipped on the way
    how = Augmentation(
        64, (1.0, 1.0), jitter=1.0, brightness=0.2, contrast=0.3, saturation=0.4, grey=1e-9, blur=0.0
    )

    def changed(place: int) -> torch.Tensor:
        draws = with_draw(place, 1.0)
        draws[:, 9] = 1.0
        return augment(images, draws, how)

    torch.testing.assert_close(changed(5), F.adjust_brightness(images, 1.2), atol=1e-3, rtol=0)
    torch.testing.assert_close(changed(6), F.adjust_contrast(images, 1.3), atol=2e-3, rtol=0)
    torch.testing.assert_close(changed(7), F.adjust_saturation(images, 1.4), atol=1e-3, rtol=0)


def test_hue_turns_about_grey_and_grey_has_no_colour() -> None:
    red = torch.tensor([0.6, 0.2, 0.2]).view(1, 3, 1, 1).expand(7, 3, 64, 64)
    how = Augmentation(64, (1.0, 1.0), jitter=1.0, hue=1 / 3, grey=1e-9, blur=0.0)
    draws = with_draw(8, 1.0)
    draws[:, 9] = 1.0
    green = augment(red, draws, how)[0, :, 0, 0]
    assert green.argmax() == 1
    assert torch.allclose(green[0], green[2], atol=1e-4)
    grey = augment(IMAGES, with_draw(0, 0.3), Augmentation(64, (1.0, 1.0), jitter=0.0, grey=1.0, blur=0.0))
    torch.testing.assert_close(grey, F.rgb_to_grayscale(IMAGES, 3), atol=1e-3, rtol=0)


def test_blur_is_a_gaussian() -> None:
    how = Augmentation(64, (1.0, 1.0), jitter=0.0, grey=0.0, blur=1.0, widest=1.1)
    views = augment(IMAGES, with_draw(11, 0.9), how)
    expected = F.gaussian_blur(IMAGES, [15, 15], [1.0, 1.0])
    torch.testing.assert_close(views[..., 8:-8, 8:-8], expected[..., 8:-8, 8:-8], atol=1e-3, rtol=0)


def test_a_view_does_not_depend_on_its_batch() -> None:
    how = Augmentation(32, (0.2, 0.8))
    views = augment(IMAGES, draws_of(7), how)
    assert views.min() >= 0
    assert views.max() <= 1
    alone = torch.cat([augment(IMAGES[[row]], draws_of(7)[[row]], how) for row in range(7)])
    torch.testing.assert_close(views, alone, atol=1e-5, rtol=0)
    assert not torch.allclose(views[0], augment(IMAGES[[0]], draws_of(7)[[1]], how)[0], atol=0.01)

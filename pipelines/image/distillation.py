"""Self-distillation after DINO: the student learns what the teacher says of a co-viewed product (MERLIN 3.4)."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from lightly.loss import DINOLoss  # type: ignore[import-untyped]
from lightly.models.modules import DINOProjectionHead  # type: ignore[import-untyped]
from lightly.models.modules.center import center_mean  # type: ignore[import-untyped]
from lightly.models.utils import update_momentum  # type: ignore[import-untyped]
from lightly.utils.scheduler import cosine_schedule  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.image.augmentation import Augmentation, augment
from pipelines.image.encoder import ImageEncoder

HIDDEN = 512
BOTTLENECK = 256


@dataclass(frozen=True)
class Temperatures:
    """How sharp the output distributions are.

    Attributes:
        student: the logits, cosines, are divided by this.
        teacher: the centred logits are divided by this and by their standard deviation.
        centre_momentum: how slowly centre and deviation follow the batches.
    """

    student: float
    teacher: float
    centre_momentum: float = 0.5


class CentredLoss(DINOLoss):  # type: ignore[misc]
    """Equation 2: cross-entropy of the student's outputs from the teacher's, which are centred and sharpened.

    Two things differ from DINO's. Centre and deviation change once a step of the optimiser, whatever it was made of:
    several batches or several processes are as one large batch. And the teacher's temperature is a multiple of the
    deviation of its logits: a small encoder's outputs are alike at first, and a fixed temperature that does not fit
    them leads to the uniform distribution.
    """

    deviation: Tensor

    def __init__(self, outputs: int, temperatures: Temperatures) -> None:
        super().__init__(
            outputs, student_temp=temperatures.student, center_momentum=temperatures.centre_momentum
        )
        self.sharpness = temperatures.teacher
        self.register_buffer("deviation", torch.ones(()))
        self._moments: list[Tensor] = []

    def temperature(self) -> Tensor:
        """The teacher's, as it is now."""
        return self.sharpness * self.deviation

    def update_center(self, teacher_out: Tensor) -> None:
        """Remember a batch's logits, [views, n, outputs]; `step` takes them in."""
        logits = teacher_out.detach().flatten(0, 1)
        self._moments.append(torch.stack([logits.mean(dim=0), logits.square().mean(dim=0)]))

    @torch.no_grad()
    def step(self, momentum: float | None = None) -> None:
        """Take in what was seen since the last step, by all processes."""
        momentum = self.center_momentum if momentum is None else momentum
        mean, square = center_mean(torch.stack(self._moments), dim=(0,))[0]
        self._moments.clear()
        deviation = (square - mean.square()).clamp(min=0).mean().sqrt()
        self.center.lerp_(mean.expand_as(self.center), 1 - momentum)
        self.deviation.lerp_(deviation, 1 - momentum)


class Distillation(nn.Module):
    """Student, teacher and their heads.

    Args:
        encoder: becomes the student; the teacher starts as its copy, and is what is kept in the end.
        views: how a global view differs from its image, and a local one.
        outputs: classes of the output distributions, K.
        temperatures: of both.
        momentum: of the teacher at first; it rises to 1 along a cosine.
    """

    def __init__(
        self,
        encoder: ImageEncoder,
        views: tuple[Augmentation, Augmentation],
        outputs: int,
        temperatures: Temperatures,
        momentum: float,
    ) -> None:
        super().__init__()
        dimension = encoder.projection.out_features
        self.views, self.momentum = views, momentum
        self.student, self.teacher = encoder, copy.deepcopy(encoder)
        self.student_head, self.teacher_head = (
            DINOProjectionHead(dimension, HIDDEN, BOTTLENECK, outputs) for _ in range(2)
        )
        self.teacher_head.load_state_dict(self.student_head.state_dict())
        self.teacher.requires_grad_(False)
        self.teacher_head.requires_grad_(False)
        self.loss = CentredLoss(outputs, temperatures)
        self.figures: dict[str, Tensor] = {}

    def forward(self, pixels: Tensor, draws: Tensor) -> dict[str, Tensor]:
        """The loss of a batch of pairs, both ways.

        Args:
            pixels: RGB of the pairs' two images, uint8 [n, 2, 3, size, size].
            draws: of one global and L local views of each image, float32 [n, 2, 1 + L, DRAWS].
        """
        images = pixels.flatten(0, 1).float() / 255
        draws = draws.flatten(0, 1)
        whole, part = self.views
        own = augment(images, draws[:, 0], whole)
        with torch.no_grad():
            targets = self.teacher_head(self.teacher.project(own)).float()
        outputs = self.student_head(self.student.project(own)).float()
        locals_ = [augment(images, each, part) for each in draws[:, 1:].unbind(1)]
        seen = self.student_head(self.student.project(torch.cat(locals_))).float() if locals_ else None
        # The product that each was viewed with is the other one of its pair.
        partners = outputs.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
        with torch.autocast(pixels.device.type, enabled=False):
            temperature = float(self.loss.temperature())
            # The loss leaves the first view of both out: that is the one which both have seen.
            loss = self.loss(
                [targets],
                [outputs, partners, *(seen.chunk(len(locals_)) if seen is not None else ())],
                teacher_temp=temperature,
            )
        self.figures = _figures(targets, self.loss.center[0], temperature)
        return {"loss": loss}

    @torch.no_grad()
    def prepare(self, first: Tensor, second: Tensor) -> None:
        """Start where outputs differ: fit the projection to pairs, and centre the teacher's logits.

        Args:
            first, second: the student's features of the images of some pairs, float32 [pairs, f].
        """
        self.student.fit(first, second)
        self.teacher.load_state_dict(self.student.state_dict())
        self.loss.update_center(self.teacher_head(self.teacher.projection(torch.cat([first, second])))[None])
        self.loss.step(momentum=0.0)

    def follow(self, step: int, steps: int) -> None:
        """Let the teacher follow the student, after `step` of `steps` steps of the optimiser."""
        momentum = cosine_schedule(step, steps, self.momentum, 1.0)
        update_momentum(self.student, self.teacher, momentum)
        update_momentum(self.student_head, self.teacher_head, momentum)
        self.loss.step()


@torch.no_grad()
def _figures(logits: Tensor, centre: Tensor, temperature: float) -> dict[str, Tensor]:
    """What tells a collapse: outputs that are all alike, or that say nothing; entropies as shares of the largest."""
    shares = F.softmax((logits - centre) / temperature, dim=1)
    most = torch.tensor(logits.shape[1]).log()
    return {
        "teacher_deviation": F.normalize(logits, dim=1).std(dim=0).mean() * logits.shape[1] ** 0.5,
        "teacher_entropy": torch.special.entr(shares).sum(dim=1).mean() / most,
        "teacher_mean_entropy": torch.special.entr(shares.mean(dim=0)).sum() / most,
    }

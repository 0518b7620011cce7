"""Self-distillation after DINO: the student learns what the teacher says of a co-viewed product (MERLIN 3.4)."""

from __future__ import annotations

import copy

import torch
from lightly.loss.swav_loss import sinkhorn  # type: ignore[import-untyped]
from lightly.models.utils import update_momentum  # type: ignore[import-untyped]
from lightly.utils.scheduler import cosine_schedule  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.distributed.nn import functional as together
from torch.nn import functional as F

from pipelines.image.augmentation import Augmentation, augment
from pipelines.image.encoder import ImageEncoder
from twinvec.nn import processes

HIDDEN = 256
BOTTLENECK = 64


class Head(nn.Module):
    """Logits of K classes: cosines with prototypes that are drawn once and stay.

    DINO learns its prototypes, and relies on long training with large batches to keep them apart. In the short
    training of a small encoder they fell together, whereupon teacher and student agree that all images are alike.
    For the same reason features are standardised over the batch: what all images have in common says nothing.

    Args:
        dimension: length of the encoder's vectors.
        outputs: K.
    """

    prototypes: Tensor

    def __init__(self, dimension: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dimension, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, BOTTLENECK))
        self.register_buffer("prototypes", F.normalize(torch.randn(outputs, BOTTLENECK), dim=1))

    def forward(self, vectors: Tensor) -> Tensor:
        """Vectors of any length, [n, dimension], to logits from −1 to 1, float32 [n, K]."""
        bottleneck = standardise(self.layers(standardise(vectors)))
        with torch.autocast(vectors.device.type, enabled=False):
            return F.normalize(bottleneck, dim=1) @ self.prototypes.T


def standardise(features: Tensor) -> Tensor:
    """Features of mean 0 and variance 1 over the batch, that of all processes, float32 [n, d]."""
    features = features.float()
    moments = torch.stack([features.mean(dim=0), features.square().mean(dim=0)])
    if processes.count() > 1:
        moments = together.all_reduce(moments) / processes.count()  # type: ignore[no-untyped-call]
    mean, square = moments
    standardised: Tensor = (features - mean) * (square - mean.square()).clamp(min=1e-6).rsqrt()
    return standardised


class Distillation(nn.Module):
    """Student, teacher and their heads.

    Args:
        encoder: becomes the student; the teacher starts as its copy, and is what is kept in the end.
        views: how a global view differs from its image, and a local one.
        outputs: classes of the output distributions, K.
        temperatures: of the student's logits, and of the teacher's.
        momentum: of the teacher at first; it rises to 1 along a cosine.
    """

    def __init__(
        self,
        encoder: ImageEncoder,
        views: tuple[Augmentation, Augmentation],
        outputs: int,
        temperatures: tuple[float, float],
        momentum: float,
    ) -> None:
        super().__init__()
        self.views, self.momentum = views, momentum
        self.student_temperature, self.teacher_temperature = temperatures
        self.student, self.teacher = encoder, copy.deepcopy(encoder)
        self.student_head = Head(encoder.projection.out_features, outputs)
        self.teacher_head = copy.deepcopy(self.student_head)
        self.teacher.requires_grad_(False)
        self.teacher_head.requires_grad_(False)
        self.figures: dict[str, Tensor] = {}

    def forward(self, pixels: Tensor, draws: Tensor) -> dict[str, Tensor]:
        """Equation 2 over a batch of pairs, both ways: the mean over images and the student's views.

        For a pair i, j the teacher sees a global view of j; the student a global view of i, and local ones of j.

        Args:
            pixels: RGB of the pairs' two images, uint8 [n, 2, 3, size, size].
            draws: of one global and L local views of each image, float32 [n, 2, 1 + L, DRAWS].
        """
        images = pixels.flatten(0, 1).float() / 255
        draws = draws.flatten(0, 1)
        whole, part = self.views
        view = augment(images, draws[:, 0], whole)
        with torch.no_grad():
            vectors = self.teacher.project(view)
            targets = self.targets(self.teacher_head(vectors))
        # The product that each was viewed with is the other one of its pair.
        partners = self.student_head(self.student.project(view)).unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
        locals_ = [augment(images, each, part) for each in draws[:, 1:].unbind(1)]
        seen = [partners, *(self.student_head(self.student.project(each)) for each in locals_)]
        losses = [
            -(targets * F.log_softmax(logits / self.student_temperature, dim=1)).sum(dim=1) for logits in seen
        ]
        self.figures = _figures(vectors, targets)
        return {"loss": torch.stack(losses).mean()}

    def targets(self, logits: Tensor) -> Tensor:
        """The teacher's distributions, centred and sharpened, [n, K].

        Centred as in DINOv2, so that each class is as probable as the others over the batch (Sinkhorn and Knopp);
        DINO's running mean of the logits left a few classes in short training.
        """
        shares: Tensor = sinkhorn(logits, epsilon=self.teacher_temperature, gather_distributed=True)
        return shares

    def follow(self, step: int, steps: int) -> None:
        """Let the teacher follow the student, after `step` of `steps` steps of the optimiser."""
        momentum = cosine_schedule(step, steps, self.momentum, 1.0)
        update_momentum(self.student, self.teacher, momentum)
        update_momentum(self.student_head, self.teacher_head, momentum)


@torch.no_grad()
def _figures(vectors: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """What tells a collapse, as shares of the most there can be.

    The deviation of the teacher's vectors, 0 if all are alike; the entropy of its outputs, 1 if they say nothing; and
    that of their mean, 0 if they say the same of all.
    """
    most = torch.tensor(targets.shape[1]).log()
    return {
        "teacher_deviation": F.normalize(vectors.float(), dim=1).std(dim=0).mean() * vectors.shape[1] ** 0.5,
        "teacher_entropy": torch.special.entr(targets).sum(dim=1).mean() / most,
        "teacher_mean_entropy": torch.special.entr(targets.mean(dim=0)).sum() / most,
    }

"""Self-distillation after DINO over co-viewed pairs: the student predicts the teacher's output (MERLIN 3.4)."""

from __future__ import annotations

import copy

import torch
from lightly.loss.swav_loss import sinkhorn  # type: ignore[import-untyped]
from lightly.models.utils import update_momentum  # type: ignore[import-untyped]
from lightly.utils.scheduler import cosine_schedule  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.distributed.nn import functional as collective
from torch.nn import functional as F

from twinvec.nn import processes
from twinvec.nn.augmentation import Augmentation, augment
from twinvec.nn.models.image import ImageEncoder

HIDDEN = 256
BOTTLENECK = 64


class Head(nn.Module):
    """Logits of K classes: cosines with prototypes that are drawn once and not trained.

    DINO trains its prototypes, and relies on long training with large batches to keep them apart. In the short
    training of a small encoder they collapsed into one: teacher and student agreed that all images are alike. For the
    same reason features are standardised over the batch, which removes what all images have in common.

    Args:
        dimension: Length of the encoder's vectors.
        outputs: K.

    Example:
        >>> Head(dimension=8, outputs=5)(torch.randn(4, 8)).shape
        torch.Size([4, 5])
    """

    prototypes: Tensor

    def __init__(self, dimension: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dimension, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, BOTTLENECK))
        self.register_buffer("prototypes", F.normalize(torch.randn(outputs, BOTTLENECK), dim=1))

    def forward(self, vectors: Tensor) -> Tensor:
        """Return logits from −1 to 1, float32 [n, K], of vectors of any length, [n, dimension]."""
        bottleneck = standardise(self.layers(standardise(vectors)))
        with torch.autocast(vectors.device.type, enabled=False):
            return F.normalize(bottleneck, dim=1) @ self.prototypes.T


def standardise(features: Tensor) -> Tensor:
    """Return features of mean 0 and variance 1 over the batch of all processes, float32 [n, d].

    Example:
        >>> standardise(torch.tensor([[1.0], [3.0]])).tolist()
        [[-1.0], [1.0]]
    """
    features = features.float()
    moments = torch.stack([features.mean(dim=0), features.square().mean(dim=0)])
    if processes.count() > 1:
        moments = collective.all_reduce(moments) / processes.count()  # type: ignore[no-untyped-call]
    mean, square = moments
    standardised: Tensor = (features - mean) * (square - mean.square()).clamp(min=1e-6).rsqrt()
    return standardised


class Distillation(nn.Module):
    """Student, teacher and their heads; the forward pass is the loss.

    Args:
        encoder: The student. The teacher starts as its copy, and is the encoder to keep after training.
        views: Augmentation of global views, and of local views.
        outputs: Number of classes of the output distributions, K.
        temperatures: Temperature of the student's logits, and of the teacher's.
        momentum: Initial momentum of the teacher; it rises to 1 along a cosine.

    Example:
        >>> from twinvec.nn.augmentation import DRAWS
        >>> backbone = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
        >>> encoder = ImageEncoder(backbone, features=12, dimension=8, mean=(0.5,) * 3, std=(0.5,) * 3)
        >>> views = Augmentation(16, (0.4, 1.0)), Augmentation(8, (0.1, 0.4))
        >>> model = Distillation(encoder, views, outputs=6, temperatures=(0.1, 0.05), momentum=0.99)
        >>> pixels = torch.randint(256, (3, 2, 3, 16, 16), dtype=torch.uint8)
        >>> model(pixels, torch.rand(3, 2, 2, DRAWS))["loss"].shape
        torch.Size([])
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
        """Return equation 2 over a batch of pairs, both ways, as `loss`: the mean over images and student's views.

        For a pair i, j the teacher sees a global view of j; the student sees a global view of i and local views of j.

        Args:
            pixels: RGB of the pairs' two images, uint8 [n, 2, 3, size, size].
            draws: Draws of one global and L local views of each image, float32 [n, 2, 1 + L, DRAWS].
        """
        images = pixels.flatten(0, 1).float() / 255
        draws = draws.flatten(0, 1)
        whole, part = self.views
        view = augment(images, draws[:, 0], whole)
        with torch.no_grad():
            vectors = self.teacher.project(view)
            targets = self.targets(self.teacher_head(vectors))
        # The co-viewed product of each image is the other image of its pair.
        partners = self.student_head(self.student.project(view)).unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
        locals_ = [augment(images, each, part) for each in draws[:, 1:].unbind(1)]
        all_logits = [partners, *(self.student_head(self.student.project(each)) for each in locals_)]
        losses = [
            -(targets * F.log_softmax(logits / self.student_temperature, dim=1)).sum(dim=1)
            for logits in all_logits
        ]
        self.figures = _figures(vectors, targets)
        return {"loss": torch.stack(losses).mean()}

    def targets(self, logits: Tensor) -> Tensor:
        """Return the teacher's distributions, centred and sharpened, [n, K].

        They are centred as in DINOv2, so that all classes are equally probable over the batch (Sinkhorn and Knopp).
        With DINO's running mean of the logits, only a few classes were used after a short training.
        """
        shares: Tensor = sinkhorn(logits, epsilon=self.teacher_temperature, gather_distributed=True)
        return shares

    def follow(self, step: int, steps: int) -> None:
        """Move the teacher towards the student, after `step` of `steps` steps of the optimiser."""
        momentum = cosine_schedule(step, steps, self.momentum, 1.0)
        update_momentum(self.student, self.teacher, momentum)
        update_momentum(self.student_head, self.teacher_head, momentum)


@torch.no_grad()
def _figures(vectors: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Return figures that show a collapse, as shares of their maximum.

    They are the deviation of the teacher's vectors, 0 if all are alike; the entropy of its outputs, 1 if they are
    uniform; and the entropy of their mean, 0 if all images get the same class.
    """
    most = torch.tensor(targets.shape[1]).log()
    return {
        "teacher_deviation": F.normalize(vectors.float(), dim=1).std(dim=0).mean() * vectors.shape[1] ** 0.5,
        "teacher_entropy": torch.special.entr(targets).sum(dim=1).mean() / most,
        "teacher_mean_entropy": torch.special.entr(targets.mean(dim=0)).sum() / most,
    }

"""The lowest parts of a sentence encoder held as they are: they need no gradients, which saves time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sentence_transformers import SentenceTransformer
from torch import nn


@contextmanager
def frozen(encoder: SentenceTransformer, parts: int) -> Iterator[None]:
    """Hold the lowest `parts` of an encoder as they are while the block runs.

    Args:
        encoder: Encoder from `load_encoder`.
        parts: Number of parts: 1 is the embeddings of the tokens, each further one a layer above them. The top layer
            is always trained.
    """
    held = [
        parameter
        for part in lowest_parts(encoder, parts)
        for parameter in part.parameters()
        if parameter.requires_grad
    ]
    for parameter in held:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in held:
            parameter.requires_grad_(True)


def lowest_parts(encoder: SentenceTransformer, parts: int) -> list[nn.Module]:
    """Return the embeddings and the layers of the encoder's transformer, at most `parts` of them, without the top one.

    It is empty if the encoder is no transformer.
    """
    model = getattr(encoder[0], "model", None)
    if not isinstance(model, nn.Module):
        return []
    # By whatever name a family of models has them: layers stand in the longest list of modules.
    layers = max(
        (module for module in model.modules() if isinstance(module, nn.ModuleList)), key=len, default=None
    )
    if layers is None:
        return []
    embeddings = getattr(model, "embeddings", None)
    if not isinstance(embeddings, nn.Module):
        embeddings = next(module for module in model.modules() if isinstance(module, nn.Embedding))
    return [embeddings, *list(layers)[:-1]][:parts]

"""Forward pass of a sentence encoder, by torch or compiled by OpenVINO."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from twinvec.errors import SettingsError
from twinvec.nn.device import Precision, resolve_precision

Backend = Literal["torch", "openvino"]
Resolved = Literal["float32", "bfloat16"]
# From the features of n texts, as an encoder's `preprocess` makes them, to vectors of unit length, float32 [n, d].
Forward = Callable[[Mapping[str, object]], Tensor]


def build_forward(encoder: SentenceTransformer, backend: Backend, precision: Precision) -> Forward:
    """Return the forward pass of an encoder; one that OpenVINO compiled does not follow further training.

    Args:
        encoder: An encoder in evaluation mode.
        backend: `openvino` compiles the encoder in a few seconds, for the CPU.
        precision: `bfloat16` multiplies matrices in bfloat16 and leaves the weights as they are; `auto` does so on a
            GPU.

    Raises:
        SettingsError: If `openvino` is chosen and not installed, or the encoder is not on the CPU.
    """
    resolved = resolve_precision(precision, encoder.device)
    return _torch(encoder, resolved) if backend == "torch" else _openvino(encoder, resolved)


def _torch(encoder: SentenceTransformer, precision: Resolved) -> Forward:
    def forward(features: Mapping[str, object]) -> Tensor:
        device = encoder.device
        placed = {
            name: value.to(device) if isinstance(value, Tensor) else value for name, value in features.items()
        }
        mixed = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
        with torch.inference_mode(), mixed:
            return F.normalize(encoder(placed)["sentence_embedding"].float(), dim=1)

    return forward


def _openvino(encoder: SentenceTransformer, precision: Resolved) -> Forward:
    try:
        import openvino
    except ImportError as error:
        raise SettingsError(
            "text.backend is 'openvino', which is not installed",
            "install it with `pip install twinvec[openvino]`, or use 'torch'",
        ) from error
    if encoder.device.type != "cpu":
        raise SettingsError(
            f"text.backend is 'openvino', which computes on the CPU, and the device is {encoder.device}",
            "set `device` to cpu, or text.backend to 'torch'",
        )
    # Two lengths, so that the traced model pads.
    example = _tensors(encoder.preprocess(["a title", "a title that is longer"]))
    with warnings.catch_warnings():
        # Tracing warns of values that it takes for constants; the tests pad, and vary lengths.
        warnings.simplefilter("ignore")
        model = openvino.convert_model(_Pooled(encoder, list(example)), example_input=tuple(example.values()))
    compiled = openvino.Core().compile_model(
        model,
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        },
    )

    def forward(features: Mapping[str, object]) -> Tensor:
        tensors = _tensors(features)
        # Copied, since the next batch is written into the same memory.
        return torch.from_numpy(compiled([tensors[name].numpy() for name in example])[0].copy())

    return forward


class _Pooled(nn.Module):
    """An encoder as OpenVINO reads it: from tensors, in the order of `names`, to one tensor."""

    def __init__(self, encoder: SentenceTransformer, names: list[str]) -> None:
        super().__init__()
        self.encoder = encoder
        self.names = names

    def forward(self, *values: Tensor) -> Tensor:
        """Return vectors of unit length, [n, d]."""
        features = dict(zip(self.names, values, strict=True))
        return F.normalize(self.encoder(features)["sentence_embedding"], dim=1)


def _tensors(features: Mapping[str, object]) -> dict[str, Tensor]:
    return {name: value for name, value in features.items() if isinstance(value, Tensor)}

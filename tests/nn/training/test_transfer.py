"""Transfer of a batch: `meta` stands for a device that is not the CPU."""

from __future__ import annotations

import torch

from twinvec.nn.device import cpu_has_bfloat16, resolve_precision, training_precision
from twinvec.nn.losses.margin import MarginBatch
from twinvec.nn.training.transfer import to_device


def test_every_tensor_of_a_batch_moves_and_other_values_stay() -> None:
    batch = MarginBatch(
        torch.arange(3), torch.arange(1), torch.arange(1), torch.zeros(1, 2).long(), margin=0.5
    )
    moved = to_device(batch, torch.device("meta"))
    assert {each.device.type for each in (moved.seeds, moved.source, moved.target, moved.negatives)} == {
        "meta"
    }
    assert moved.margin == 0.5
    assert to_device(batch, torch.device("cpu")) is batch


def test_auto_is_bfloat16_on_a_gpu_only() -> None:
    assert resolve_precision("auto", torch.device("cpu")) == "float32"
    assert resolve_precision("bfloat16", torch.device("cpu")) == "bfloat16"
    if torch.cuda.is_available():
        assert resolve_precision("auto", torch.device("cuda")) == "bfloat16"


def test_text_trains_in_bfloat16_where_the_cpu_multiplies_in_it() -> None:
    expected = "bfloat16" if cpu_has_bfloat16() else "float32"
    assert training_precision("auto", torch.device("cpu")) == expected
    assert training_precision("float32", torch.device("cpu")) == "float32"

"""Settings that make a version out of date, and those that do not."""

from __future__ import annotations

import pytest

from twinvec import digest
from twinvec.settings import Group, Settings
from twinvec.settings.group import is_operational
from twinvec.settings.pipelines import ImageSettings, TextSettings
from twinvec.settings.related import RelatedSettings

# Digests of the default settings, without those that are operational and the choice of sampler.
BEFORE = {
    "category": "550e9a6b04db1ad3",
    "graph": "b3a04b0643965d4b",
    "text": "414d2ea993aec3f7",
    "image": "bf80fae05e9f9cef",
    "related": "5dd0e5de15552dbf",
    "sellers": "61882758b533b499",
    "similar": "71d675bd526f40f4",
}


@pytest.mark.parametrize("group", BEFORE)
def test_versions_that_exist_keep_their_digest(group: str) -> None:
    settings: Group = getattr(Settings(), group)
    assert digest.of_json(settings.deciding_as_before()) == BEFORE[group]


def test_auto_and_dgl_decide_the_same_and_csr_something_else() -> None:
    auto, dgl, csr = (RelatedSettings(sampler=name).deciding() for name in ("auto", "dgl", "csr"))
    assert auto == dgl != csr
    assert csr["sampler"] == "csr"


def test_auto_and_float32_decide_the_same_and_bfloat16_something_else() -> None:
    kinds: list[type[Group]] = [TextSettings, ImageSettings, RelatedSettings]
    for kind in kinds:
        auto, whole, half = (
            kind.model_validate({"precision": name}).deciding() for name in ("auto", "float32", "bfloat16")
        )
        assert auto == whole != half


def test_operational_settings_decide_nothing() -> None:
    text = TextSettings()
    moved = TextSettings(batch=7, backend="openvino", training={"checkpoint_steps": 3, "log_steps": 1})
    assert moved.deciding() == text.deciding()
    assert moved.deciding_as_before() != text.deciding_as_before()
    assert {"batch", "backend"}.isdisjoint(text.deciding())
    assert text.deciding()["training"]["batch"] == 64, "the batch of a training step decides what is made"
    assert TextSettings(training={"batch": 32}).deciding() != text.deciding()
    assert TextSettings(precision="bfloat16").deciding() != text.deciding()
    elsewhere = ImageSettings(
        batch=7, cache="/elsewhere", cache_bytes=1, connections=1, timeout=1.0, attempts=1
    )
    assert elsewhere.deciding() == ImageSettings().deciding()
    assert ImageSettings(remote=True).deciding() != ImageSettings().deciding()


def test_where_things_are_is_operational() -> None:
    assert is_operational(Settings, "home")
    assert is_operational(Settings, "device")
    assert not is_operational(Settings, "seed")
    assert Settings().mlflow.deciding() == {}

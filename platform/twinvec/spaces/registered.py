"""The spaces that are installed, read from the entry points `twinvec.spaces`.

A package adds a space by an entry point that names its declaration:

    [project.entry-points."twinvec.spaces"]
    text = "pipelines.text.space:SPACE"
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from twinvec.errors import NotFoundError, StateError, suggestion
from twinvec.plugins import load_plugin, plugins
from twinvec.spaces.space import Space

if TYPE_CHECKING:
    from twinvec.settings import Settings

GROUP = "twinvec.spaces"


@cache
def spaces() -> tuple[Space, ...]:
    """Return every space that has a training of its own, each after the spaces that it reads.

    Raises:
        PluginError: If two packages declare one name, or a declaration cannot be loaded.
        StateError: If spaces read each other in a circle.
    """
    declared = {name: load_plugin(point) for name, point in plugins(GROUP).items()}
    return tuple(_in_order(declared))


def _in_order(declared: Mapping[str, Space]) -> list[Space]:
    """Return the spaces, each after those it reads, which keep the order that its declaration lists them in."""
    makers = {made.name: space for space in declared.values() for made in space.outcomes}
    ordered: list[Space] = []

    def visit(space: Space, path: tuple[str, ...]) -> None:
        if space.name in path:
            circle = " → ".join((*path, space.name))
            raise StateError(f"spaces read each other in a circle: {circle}", "correct their declarations")
        if space not in ordered:
            for name in space.inputs:
                if name in makers:
                    visit(makers[name], (*path, space.name))
            ordered.append(space)

    for name in sorted(declared):
        visit(declared[name], ())
    return ordered


def all_spaces() -> tuple[Space, ...]:
    """Return every space, companions included, each after the spaces that it reads."""
    return tuple(made for space in spaces() for made in space.outcomes)


def content_spaces() -> tuple[Space, ...]:
    """Return the spaces of a product's content, such as text and image."""
    return tuple(space for space in spaces() if space.encoder is not None)


def served_spaces() -> tuple[Space, ...]:
    """Return the spaces whose versions are released."""
    return tuple(space for space in spaces() if space.serving is not None)


def has_collection(space: Space) -> bool:
    """Return True if releases of a space have a collection of vectors that is searched."""
    return space.serving is not None and space.serving.fields is not None


def lists_space(served: Space) -> Space | None:
    """Return the space whose versions list the answers of a served space, or None."""
    return next(
        (space for space in spaces() if space.listing is not None and space.listing.of == served.name), None
    )


def find_space(name: str) -> Space:
    """Return the space called `name`.

    Raises:
        NotFoundError: If there is none; the message lists those there are.
    """
    return _named(name, {space.name: space for space in all_spaces()}, "space")


def stage_of(name: str) -> Space:
    """Return the space whose training makes `name`: itself, or the one that it is a companion of.

    Raises:
        NotFoundError: If there is no such space.
    """
    return _named(name, {made.name: space for space in spaces() for made in space.outcomes}, "space")


def release_name(space: Space, settings: Settings) -> str:
    """Return the name under which versions of `space` are released.

    Raises:
        StateError: If they are not.
    """
    serving = space.serving
    if serving is None:
        served = ", ".join(each.name for each in served_spaces())
        raise StateError(f"versions of {space.name} are not released", f"name a version of: {served}")
    return str(getattr(settings, serving.setting)) if serving.setting is not None else serving.name


def release_names(settings: Settings) -> tuple[str, ...]:
    """Return the names of all releases, in the order of their spaces."""
    return tuple(release_name(space, settings) for space in served_spaces())


def served_as(settings: Settings, name: str) -> Space:
    """Return the space whose releases are called `name`.

    Raises:
        NotFoundError: If there are none of this name; the message lists those there are.
    """
    names = dict(zip(release_names(settings), served_spaces(), strict=True))
    return _named(name, names, "release name")


def _named(name: str, by_name: dict[str, Space], kind: str) -> Space:
    if name in by_name:
        return by_name[name]
    raise NotFoundError(f"there is no {kind} {name!r}", suggestion(name, by_name))

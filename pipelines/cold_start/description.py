"""Description of a new product, in the form of the catalogue's products."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from twinvec.catalogue.snapshot import Snapshot
from twinvec.serving.related import UnusableProductError
from twinvec.text import level

SEPARATOR = " > "
SHOWN = 3
PATHS_SQL = "SELECT DISTINCT category FROM products WHERE len(category) > 0 ORDER BY category"


def read_paths(snapshot: Snapshot) -> list[tuple[str, ...]]:
    """Return every category path of a snapshot once, from the root to the leaf."""
    with snapshot.connect() as connection:
        return [tuple(path) for (path,) in connection.execute(PATHS_SQL).fetchall()]


def find_path(category: str, paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the path that `category` names.

    Args:
        category: A whole path, `Music > Jazz`, which need not be one of the catalogue's; or the name of a category
            at any level, of which the catalogue has to have one.
        paths: Category paths of the catalogue's products.

    Raises:
        UnusableProductError: If it is empty, or a name that the catalogue has nowhere or in several places.
    """
    whole = level(category.strip())
    if any(whole in path for path in paths):
        names: tuple[str, ...] = (whole,)
    else:
        names = tuple(name.strip() for name in category.split(SEPARATOR.strip()))
    if not all(names):
        raise UnusableProductError(
            f"the category {category!r} is empty, or has an empty level",
            "write its path as `Music > Jazz`, or leave it out",
        )
    if len(names) > 1:
        return names
    (name,) = names
    matches = sorted({path[: path.index(name) + 1] for path in paths if name in path})
    if len(matches) == 1:
        return matches[0]
    if matches:
        places = "; ".join(SEPARATOR.join(path) for path in matches[:SHOWN])
        raise UnusableProductError(
            f"there are {len(matches)} categories called {name!r}", f"give the whole path: {places}"
        )
    near = difflib.get_close_matches(name, sorted({each for path in paths for each in path}), SHOWN)
    raise UnusableProductError(
        f"the catalogue has no category {name!r}",
        (f"did you mean {' or '.join(map(repr, near))}? " if near else "")
        + "A category that is new is given with its whole path, `Music > Jazz`",
    )


def compose_text(title: str | None, path: Sequence[str]) -> str | None:
    """Return the text of a product, as `pipelines.text.texts.TEXT_SQL` composes it; None without title and path.

    Not by that query itself, which takes many times as long for one product as encoding it does; a test holds the
    two equal.
    """
    parts = [*([SEPARATOR.join(path)] if path else []), *([title] if title is not None else [])]
    return ": ".join(parts) or None

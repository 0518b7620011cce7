"""Text as it enters from files, file names, the command line and HTTP: valid Unicode from there on.

A Python string may hold half a surrogate pair: from JSON's escapes, or from a file name or an argument of other bytes
than UTF-8. No store accepts it.
"""

from __future__ import annotations

import re

SEPARATOR, INSTEAD = " > ", " › "
# What moves a terminal's cursor, colours it or rings its bell, and is no line break or tab.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def is_valid(text: str) -> bool:
    r"""Return whether `text` can be written as UTF-8.

    Example:
        >>> is_valid("Müsli"), is_valid("\ud800")
        (True, False)
    """
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def valid(text: str) -> str:
    r"""Return `text` with pairs of surrogates joined, and each half that stands alone replaced by U+FFFD.

    Not for ids: two that differ in such a half only would become one. Refuse those that are not `is_valid`.

    Example:
        >>> valid("a \ud83d\ude00 b \udc80")
        'a 😀 b �'
    """
    if is_valid(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def printable(text: str) -> str:
    r"""Return `text` as it may be printed to a terminal: valid, with control characters as `\\x1b`.

    Example:
        >>> printable("red \x1b[31m")
        'red \\x1b[31m'
    """
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", valid(text))


def level(name: str) -> str:
    """Return the name of a category without the separator of paths: `A > B` is written `A › B`.

    Otherwise the paths `A > B`, `C` and `A`, `B > C` would be one when they are joined.
    """
    return name.replace(SEPARATOR, INSTEAD)

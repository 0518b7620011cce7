"""Secrets inside text that is printed."""

from __future__ import annotations

import re

MASK = "**********"
# `user:password@` or `token@` before a host, up to the last `@` of the word.
_USER = re.compile(r"(?<=://)([^\s:/?#@]*:)?[^\s\"'`<>]*@")
_QUERY = re.compile(
    r"([?&;](?:[a-z_-]*(?:key|token|secret|passw(?:or)?d|sig(?:nature)?|credential))=)[^\s&;#\"'`]+", re.I
)


def masked_urls(text: str) -> str:
    """Return text in which passwords, tokens and keys inside URLs are `**********`.

    Example:
        >>> masked_urls("cannot reach https://me:hidden@shop.example:6333/?api_key=abc&k=3")
        'cannot reach https://me:**********@shop.example:6333/?api_key=**********&k=3'
    """
    return _QUERY.sub(rf"\1{MASK}", _USER.sub(lambda found: f"{found[1] or ''}{MASK}@", text))

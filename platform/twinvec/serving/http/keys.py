"""API keys: made here, stored as digests, compared in constant time, read again when their file changes."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from twinvec.errors import SettingsError, StoreError
from twinvec.files import write_text
from twinvec.settings.serving import KeySettings
from twinvec.vectors.cached_json import JsonFiles

Scope = Literal["reader", "operator"]
PREFIX = "twv_"
STORED = TypeAdapter(dict[str, KeySettings])


@dataclass(frozen=True)
class Caller:
    """Who a request is from.

    Attributes:
        name: Name of the key; `anonymous` where none is needed.
        scope: What the key allows.
    """

    name: str
    scope: Scope


ANONYMOUS = Caller("anonymous", "operator")


@dataclass
class Keys:
    """Keys of the settings and of a file.

    A key is a random number of 256 bits, so one round of SHA-256 hides it: there is nothing to guess.

    Args:
        named: Keys of the settings, by name.
        file: File of more keys; it may be missing.
        expected: Whether the file has to be there.

    Raises:
        SettingsError: If the file has to be there and is not, or cannot be used.
    """

    named: Mapping[str, KeySettings]
    file: Path | None = None
    expected: bool = False
    _files: JsonFiles | None = field(default=None, init=False, repr=False)
    _required: bool = field(default=False, init=False, repr=False)
    # What the file held when it was last checked, and its keys.
    _parsed: tuple[Mapping[str, object], dict[str, KeySettings]] = field(
        default=({}, {}), init=False, repr=False
    )

    def __post_init__(self) -> None:
        """Read the file once, so that a mistake shows at the start."""
        if self.file is not None:
            self._files = JsonFiles(self.file.parent)
            if self.expected and not self.file.is_file():
                raise SettingsError(
                    f"serving.keys_file names {self.file}, which is not a file",
                    "`twinvec keys new` makes one",
                )
        try:
            self._required = bool(self._all()) or self.expected
        except StoreError as error:
            raise SettingsError(error.message, error.hint) from error

    @property
    def required(self) -> bool:
        """True if callers need a key; once they do, they do until the end of the process."""
        self._required = self._required or bool(self._all())
        return self._required

    def find(self, presented: str) -> Caller | None:
        """Return the caller of a key, or None; the time does not tell which key was close."""
        digest = digest_of(presented)
        found = None
        for name, key in self._all().items():
            if hmac.compare_digest(digest, key.sha256):
                found = Caller(name, key.scope)
        return found

    def _all(self) -> dict[str, KeySettings]:
        if self.file is None or self._files is None:
            return dict(self.named)
        values = self._files.read(self.file.name) or {}
        if values != self._parsed[0]:
            self._parsed = values, _checked(self.file, values)
        return {**self.named, **self._parsed[1]}


def digest_of(key: str) -> str:
    """Return the digest that is stored of a key."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def new_key(file: Path, name: str, scope: Scope) -> str:
    """Make a key, store its digest under a name in a file, and return it; nobody can read it again.

    A key of this name is replaced, which a running server sees at its next request.
    """
    key = PREFIX + secrets.token_urlsafe(32)
    stored = read_keys(file)
    stored[name] = KeySettings(scope=scope, sha256=digest_of(key))
    _write(file, stored)
    return key


def remove_key(file: Path, name: str) -> bool:
    """Remove a key from a file, and return whether it was there."""
    stored = read_keys(file)
    if stored.pop(name, None) is None:
        return False
    _write(file, stored)
    return True


def read_keys(file: Path) -> dict[str, KeySettings]:
    """Return the keys of a file, none if there is no such file.

    Raises:
        StoreError: If it cannot be read.
    """
    return _checked(file, JsonFiles(file.parent).read(file.name) or {})


def _checked(file: Path, values: Mapping[str, object]) -> dict[str, KeySettings]:
    try:
        return STORED.validate_python(dict(values))
    except ValidationError as error:
        problem = error.errors()[0]
        raise StoreError(
            f"{file} holds no keys: {'.'.join(map(str, problem['loc']))}: {problem['msg']}",
            'it reads {"name": {"scope": "reader", "sha256": "…"}}; `twinvec keys new` writes it',
        ) from error


def _write(file: Path, stored: Mapping[str, KeySettings]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    values = {name: key.model_dump() for name, key in sorted(stored.items())}
    write_text(file, json.dumps(values, indent=2) + "\n")
    file.chmod(0o600)

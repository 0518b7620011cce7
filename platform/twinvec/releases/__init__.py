"""Releases: publish, promote and roll back the versions that serve together, as a whole."""

from __future__ import annotations

from twinvec.releases.lookup import all_releases, find, live, newest_of, waiting
from twinvec.releases.promotion import promote, rollback
from twinvec.releases.publishing import publish
from twinvec.releases.switching import settle

__all__ = ["all_releases", "find", "live", "newest_of", "promote", "publish", "rollback", "settle", "waiting"]

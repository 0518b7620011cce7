"""The neighbour samplers for tests: those of DGL are skipped where it is not installed."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

HAS_DGL = find_spec("dgl") is not None
needs_dgl = pytest.mark.skipif(not HAS_DGL, reason="DGL is not installed; it has no wheel for this Python")
# Names that `make_sampler` takes.
SAMPLERS = ["csr", pytest.param("dgl", marks=needs_dgl)]

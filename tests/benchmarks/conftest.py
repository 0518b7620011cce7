"""Benchmarks compare with DGL, which has no wheels for every Python; without it, their tests are not collected."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("dgl") else ["test_benchmarks.py"]

"""What holds for every test: its own settings only, and one core, since tests run beside each other."""

from __future__ import annotations

import os

for variable in [name for name in os.environ if name.startswith("TWINVEC_")]:
    del os.environ[variable]
# Read when torch and its like are first imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

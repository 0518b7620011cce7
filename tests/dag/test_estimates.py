"""Estimates of a run: of earlier versions, of measured rates, and none where nothing is known."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

import pytest

from twinvec import dag, estimates
from twinvec.catalogue.snapshot import Snapshot
from twinvec.progress import Progress
from twinvec.spaces import Space, Worth
from twinvec.stage import Inputs, Outcome
from twinvec.tracking import Run
from twinvec.workspace import Workspace

IngestProducts = Callable[[Workspace, Path, list[str]], Snapshot]
SLEPT = 0.4
TEXT = Space(
    "text", "slow.text:train", settings=("text",), worth=Worth("MRR", "untrained", "trained", "once")
)
RELATED = Space("related", "slow.text:train", needs=("text",))


@pytest.fixture(autouse=True)
def slow(declare: Callable[[Iterable[Space]], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Declare a space that takes a known time, and one that reads it."""

    def train(inputs: Inputs, run: Run, progress: Progress) -> Outcome:
        time.sleep(SLEPT)
        return Outcome((), {}, "dot", False, "w", "p", metrics={"untrained": 0.25, "trained": 0.5})

    module = ModuleType("slow.text")
    vars(module)["train"] = train
    monkeypatch.setitem(sys.modules, "slow.text", module)
    declare([TEXT, RELATED])


def test_earlier_versions_tell_the_time_and_the_worth(
    workspace: Workspace, snapshot: Snapshot, ingest_products: IngestProducts, tmp_path: Path
) -> None:
    first, second = estimates.plan(workspace, snapshot)
    assert (first.seconds, first.basis, first.worth) == (None, "not known yet", "read by related; once")
    assert second.reason == "not made yet"
    (step, _) = dag.run(workspace, snapshot)
    assert estimates.plan(workspace, snapshot) == []

    forced, _ = estimates.plan(workspace, snapshot, force=True)
    assert forced.seconds is not None
    assert SLEPT <= forced.seconds <= step.seconds
    assert forced.basis == "text@v1, 3 products"
    assert forced.worth == "MRR 0.250 → 0.500 in text@v1"

    twice = ingest_products(workspace, tmp_path / "twice", ["a", "b", "c", "d", "e", "f"])
    grown, _ = estimates.plan(workspace, twice)
    assert grown.seconds == pytest.approx(2 * forced.seconds)

    other = workspace.settings.text.model_copy(update={"max_length": 8})
    changed = Workspace(workspace.settings.model_copy(update={"text": other}))
    assert estimates.plan(changed, snapshot)[0].seconds is None, "other settings take another time"


def test_measured_rates_are_for_default_settings_on_a_cpu(
    workspace: Workspace, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimates, "RATES", {"text": estimates.Rate("products", 2.0, rows=3)})
    on_cpu = Workspace(workspace.settings.model_copy(update={"device": "cpu"}))
    text, related = estimates.plan(on_cpu, snapshot)
    assert (text.seconds, text.basis) == (6.0, "rate of a benchmark")
    assert related.seconds is None
    assert estimates.total([text, related]) == (6.0, ["related"])
    monkeypatch.setattr(estimates, "REACH", 0)
    assert estimates.plan(on_cpu, snapshot)[0].seconds is None, "of a far smaller catalogue"
    monkeypatch.setattr(estimates, "RATES", {"text": estimates.Rate("views", 2.0, rows=3)})
    assert estimates.plan(on_cpu, snapshot)[0].seconds is None, "the snapshot has no such table"


def test_rates_are_those_of_the_benchmark() -> None:
    path = Path(__file__).parents[2] / "benchmarks" / "results" / "stages.json"
    measured = json.loads(path.read_text("utf-8"))["rates"]
    assert {name: (rate.table, rate.seconds, rate.rows) for name, rate in estimates.RATES.items()} == {
        name: (each["table"], each["seconds"], each["rows"]) for name, each in measured.items()
    }
    assert measured

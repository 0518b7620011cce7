"""The table of SALAM on the small home: baselines, the text alone, and the gain of a graph with its interval."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipelines.comparisons import peak_memory, relevance
from pipelines.comparisons.comparison import Request
from pipelines.comparisons.runner import lay_out, run
from pipelines.relevance.gains import f1_gain, f1_gains
from pipelines.relevance.judged import Split, read_judged
from pipelines.relevance.thresholds import best_thresholds, classify_by_thresholds

NAMES = ["text", "majority", "text + gcn", "text + gcn, one phase", "E-SCI: text + gcn"]


def parts(gains: str | None) -> list[str]:
    """Return the names of the parts in a text such as `us +0.1 [0, +0.2]; es …`."""
    return [each.split()[0] for each in (gains or "").split("; ")]


def test_rows_are_judged_on_the_same_test_queries(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relevance, "SEEDS", 2)
    workspace = home.workspace
    request = Request(workspace, workspace.snapshot(), lambda _message: None, "related")
    rows = run(relevance.COMPARISON, request, NAMES)
    text, majority, gcn, one_phase, two = rows
    judged = read_judged(workspace.snapshot(), workspace.settings.relevance, 0)
    share = (judged.classes[judged.rows(Split.TEST)] == 0).mean()
    assert majority.micro_f1 == pytest.approx(share)
    assert majority.by_class.startswith(f"E {share:.3f}/1.000/")
    assert text.gain is None
    assert gcn.gain == pytest.approx(gcn.macro_f1 - text.macro_f1)
    assert np.all(np.diff(np.array([gcn.low, gcn.gain, gcn.high], float)) >= 0)
    regions = ["br", "es", "mx", "us"]
    assert parts(gcn.gain_by_part) == ["known", "unknown", *regions]
    assert parts(one_phase.over_one_phase) == ["all", *regions]
    gain = gcn.macro_f1 - one_phase.macro_f1
    assert (one_phase.over_one_phase or "").startswith(f"all {gain:+.3f} [")
    assert text.gain_by_part is gcn.over_one_phase is None
    assert float(gcn.parameters or 0) > float(text.parameters or 0) > 0
    assert two.gain is None  # its own text was not asked for
    assert two.by_class.count("/") == 4
    assert majority.peak_memory_mib is None
    if peak_memory.RESET.exists():
        # The best weights so far are kept beside the model's, those of the text encoder included.
        assert int(gcn.peak_memory_mib or 0) * 2**20 > 4 * int(gcn.parameters or 0)
    table = lay_out(relevance.COMPARISON, request, rows)
    assert [cells[0] for cells in table.cells] == NAMES
    assert table.headings[-4:] == ["ms a pair", "peak MiB", "MB on disk", "seconds"]


@pytest.mark.skipif(not peak_memory.RESET.exists(), reason="Linux forgets earlier heights, others do not")
def test_the_memory_of_a_row_does_not_depend_on_the_rows_before(
    home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relevance, "SEEDS", 1)
    workspace = home.workspace
    problem = relevance.prepare(Request(workspace, workspace.snapshot(), lambda _message: None, "related"))
    relevance.fit(problem, "text")  # it may take again what the preparation freed
    found = [relevance.fit(problem, name) for name in ("text + gcn", "text", "text + gcn")]
    first, _, again = (0 if each is None else each.peak_memory or 0 for each in found)
    assert first > 0
    assert abs(first - again) < 4 * 2**20, (first, again)


def test_thresholds_divide_scores_where_the_classes_are_divided() -> None:
    draw = np.random.default_rng(0)
    classes = draw.integers(0, 3, 600)
    scores = np.array([0.9, 0.5, 0.1])[classes] + draw.normal(0, 0.03, 600)
    found = classify_by_thresholds(scores, best_thresholds(scores, classes, 3))
    assert (found == classes).mean() > 0.95


def test_a_gain_is_certain_where_every_query_gains(home: Any) -> None:
    judged = read_judged(home.workspace.snapshot(), home.workspace.settings.relevance, 0)
    rows = judged.rows(Split.TEST)
    right = judged.classes[rows]
    wrong = (right + 1) % 4
    gain, low, high = f1_gain(judged, rows, np.stack([right, right]), np.stack([wrong, wrong]))
    assert 0 < low <= gain <= high <= 1
    assert gain == pytest.approx(1)
    assert f1_gain(judged, rows, right[None], right[None]) == (0, 0, 0)
    some = np.arange(len(rows)) < 9
    found = f1_gains(judged, rows, right[None], right[None], {"some": some, "none": ~(rows >= 0)})
    assert found == "some +0.000 [+0.000, +0.000]"

"""The table of SALAM on the small home: baselines, the text alone, and the gain of a graph with its interval."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipelines.comparisons import relevance
from pipelines.comparisons.comparison import Request
from pipelines.comparisons.runner import lay_out, run
from pipelines.relevance.judged import Split, read_judged
from pipelines.relevance.thresholds import best_thresholds, classify_by_thresholds


def test_rows_are_judged_on_the_same_test_queries(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relevance, "SEEDS", 2)
    workspace = home.workspace
    request = Request(workspace, workspace.snapshot(), lambda _message: None, "related")
    rows = run(relevance.COMPARISON, request, ["text", "majority", "text + gcn", "E-SCI: text + gcn"])
    text, majority, gcn, two = rows
    judged = read_judged(workspace.snapshot(), workspace.settings.relevance, 0)
    share = (judged.classes[judged.rows(Split.TEST)] == 0).mean()
    assert majority.micro_f1 == pytest.approx(share)
    assert majority.by_class.startswith(f"E {share:.3f}/1.000/")
    assert text.gain is None
    assert gcn.gain == pytest.approx(gcn.macro_f1 - text.macro_f1)
    assert np.all(np.diff(np.array([gcn.low, gcn.gain, gcn.high], float)) >= 0)
    assert float(gcn.parameters or 0) > float(text.parameters or 0) > 0
    assert two.gain is None  # its own text was not asked for
    assert two.by_class.count("/") == 4
    table = lay_out(relevance.COMPARISON, request, rows)
    assert [cells[0] for cells in table.cells] == ["text", "majority", "text + gcn", "E-SCI: text + gcn"]


def test_thresholds_divide_scores_where_the_classes_are_divided() -> None:
    draw = np.random.default_rng(0)
    classes = draw.integers(0, 3, 600)
    scores = np.array([0.9, 0.5, 0.1])[classes] + draw.normal(0, 0.03, 600)
    found = classify_by_thresholds(scores, best_thresholds(scores, classes, 3))
    assert (found == classes).mean() > 0.95

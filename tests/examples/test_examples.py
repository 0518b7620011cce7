"""Each example runs as a script in a process of its own, and the notebook cell by cell."""

from __future__ import annotations

import json
import os
import runpy
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from tests import forked

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def output(script: str, home: Path) -> str:
    printed = home.parent / "printed.txt"
    ended = forked.run(run_script, str(EXAMPLES / script), str(home), str(printed))
    assert ended.status == 0, printed.read_text()
    return printed.read_text()


def run_script(script: str, home: str, printed: str) -> None:
    os.environ["TWINVEC_HOME"], sys.argv = home, [script]
    with Path(printed).open("w") as file, redirect_stdout(file), redirect_stderr(file):
        runpy.run_path(script, run_name="__main__")


def test_a_catalogue_is_released_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    assert "live: related_products@v1" in output("own_catalogue.py", home)
    assert "HTTP: related_products__v1 answers with 3 products" in output("read_as_a_colleague.py", home)

    monkeypatch.setenv("TWINVEC_HOME", str(home))
    notebook = json.loads((EXAMPLES / "tour.ipynb").read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            exec("".join(cell["source"]), names)
    assert "[('related_products@v1', 'live')]" in capsys.readouterr().out


def test_vectors_of_ones_own_are_imported(tmp_path: Path) -> None:
    assert "text: imported" in output("own_embeddings.py", tmp_path / "home")


def test_a_model_of_ones_own_is_trained(tmp_path: Path) -> None:
    assert "related@v1: 300 products, vectors of 16 numbers" in output("own_model.py", tmp_path / "home")

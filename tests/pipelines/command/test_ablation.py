"""The tables that `twinvec ablate` can be asked for; their own tests run them."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import fields

import pytest
from typer.testing import CliRunner

from pipelines.command import app
from pipelines.command.ablation import TABLES, TITLES, Subject
from twinvec.settings import Settings


@pytest.mark.parametrize("subject", TABLES)
def test_every_table_is_asked_alike_and_its_columns_have_titles(subject: Subject) -> None:
    module, title = TABLES[subject]
    table = importlib.import_module(module)
    assert [*inspect.signature(table.compare).parameters] == ["workspace", "snapshot", "progress", "names"]
    name, *columns = (field.name for field in fields(table.Row))
    assert name == "name"
    assert set(columns) <= TITLES.keys()
    assert "{" not in title.format(settings=Settings())


def test_every_subject_is_an_encoder_or_has_a_table() -> None:
    assert set(Subject) == {Subject.TEXT, Subject.IMAGE, *TABLES}


def test_only_encoders_are_judged_by_coviews() -> None:
    refused = CliRunner().invoke(app, ["ablate", "links", "--by", "coviews"])
    assert refused.exit_code == 2
    assert "links are not judged by co-views" in " ".join(refused.output.split())

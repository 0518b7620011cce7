from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from registry.database import open_engine
from registry.models import Base
from twinvec.catalogue.ingest import IngestReport, ingest
from twinvec.settings import IngestSettings, Settings

Ingest = Callable[..., IngestReport]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def engine(home: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{home / 'registry.db'}")
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def ingest_into(home: Path, engine: Engine) -> Ingest:
    """`ingest(source, format, **ingest settings)` into this test's home and registry."""

    def call(source: Path, kind: str, **ingest_settings: object) -> IngestReport:
        options = IngestSettings.model_validate({"memory_limit": "500MB", **ingest_settings})
        return ingest(source, kind, Settings(home=home, ingest=options), engine)

    return call

"""Events, arms and their report: nothing is lost in silence, visitors stay, and looking often decides nothing."""

from __future__ import annotations

import secrets
import socket
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from twinvec.errors import StoreError
from twinvec.metrics.experiments import difference, rate
from twinvec.serving import event_table
from twinvec.serving.api import create_app
from twinvec.serving.event_table import EventTable
from twinvec.serving.events import export_events, open_log
from twinvec.serving.experiment import assigned
from twinvec.serving.report import log_arms, report_arms
from twinvec.settings import Settings
from twinvec.settings.serving import ArmSettings, EventSettings, ExperimentSettings, ServingSettings

ARMS = {"a": ArmSettings(release="v1", share=0.5), "b": ArmSettings(release="v2", share=0.3)}


def test_visitors_stay_in_arms_of_the_shares_that_are_set() -> None:
    experiment = ExperimentSettings(name=secrets.token_hex(4), arms=ARMS)
    arms = [assigned(experiment, f"visitor {number}") for number in range(20_000)]
    assert arms == [assigned(experiment, f"visitor {number}") for number in range(20_000)]
    shares = {arm: count / 20_000 for arm, count in Counter(arms).items()}
    assert shares == pytest.approx({"a": 0.5, "b": 0.3, None: 0.2}, abs=0.02)
    other = experiment.model_copy(update={"name": "other"})
    same = sum(assigned(other, f"visitor {number}") == arms[number] for number in range(20_000)) / 20_000
    assert same == pytest.approx(0.25 + 0.09 + 0.04, abs=0.02)  # divided anew


def test_looking_at_every_visitor_seldom_decides_between_equals() -> None:
    """400 experiments without a difference, looked at 40 times each."""
    seed = secrets.randbits(32)
    random = np.random.default_rng(seed)
    wrong = fixed = 0
    for _ in range(400):
        clicks = random.random((2, 4000)) < 0.1
        counts = clicks.cumsum(1)
        looks = range(99, 4000, 100)
        rates = [[rate_of(int(counts[arm, at]), at + 1) for arm in (0, 1)] for at in looks]
        wrong += any(difference(first, second, 0.05).decided for first, second in rates)
        fixed += any(
            abs(second.value - first.value) > 1.96 * np.sqrt(2 * 0.1 * 0.9 / first.total)
            for first, second in rates
        )
    assert wrong / 400 <= 0.075, f"seed {seed}"
    assert fixed / 400 > 0.2, "what a test that is meant for one look would have decided"


def rate_of(count: int, total: int) -> Any:
    """A rate without its interval, which takes most of the time."""
    from twinvec.metrics.experiments import Rate

    return Rate(count, total, 0, 1)


def test_a_difference_that_is_there_is_found() -> None:
    assert difference(rate(300, 3000), rate(420, 3000)).decided
    assert not difference(rate(3, 30), rate(5, 30)).decided
    assert difference(rate(0, 0), rate(5, 30)).low == -1
    shown = rate(7, 20)
    z, p, n = 1.959964, 0.35, 20  # Wilson (1927)
    scale = 1 + z * z / n
    middle = (p + z * z / 2 / n) / scale
    half = z * np.sqrt(p * (1 - p) / n + z * z / 4 / n / n) / scale
    assert (shown.low, shown.high) == pytest.approx((middle - half, middle + half), abs=1e-6)


def test_events_wait_in_bounds(tmp_path: Path) -> None:
    log = open_log(EventSettings(enabled=True, queue=3, seconds=60), tmp_path / "events")
    assert log is not None
    event = {"time": None, "kind": "click", "request_id": "r", "release": "x", "product_id": "p"}
    assert log.add([{**event, "time": datetime.now(UTC)}] * 5) == 3
    assert log.add([event]) == 0
    log.close()
    (file,) = (tmp_path / "events").glob("*.parquet")
    assert pq.read_metadata(file).num_rows == 3


def test_the_release_of_an_arm_is_that_of_its_last_event(tmp_path: Path) -> None:
    events = [
        {"time": datetime(2026, 1, day, tzinfo=UTC), "kind": "impression", "request_id": f"r{day}",
         "release": f"related_products__v{day}", "arm": "a", "product_id": "p"}
        for day in (9, 10)
    ]  # fmt: skip
    log = open_log(EventSettings(enabled=True, seconds=60), tmp_path / "events")
    assert log is not None
    log.add(events)
    log.close()
    (arm,) = report_arms(
        Settings(serving=ServingSettings(events=EventSettings(folder=tmp_path / "events"))), 0.05
    )
    assert (arm.release, arm.clicked.total) == ("related_products__v10", 2)


@pytest.mark.parametrize("shop", ["edge"], indirect=True)
def test_answers_of_arms_and_what_visitors_did_with_them(live: Any, tmp_path: Path) -> None:
    settings = ServingSettings(
        log=False,
        events=EventSettings(enabled=True, folder=tmp_path / "events"),
        experiment=ExperimentSettings(arms=ARMS),
    )
    releases = {"a": "related_products__v1", "b": "related_products__v2", None: "related_products__v1"}
    arms = Counter[str | None]()
    with TestClient(create_app(live.answerer, settings)) as client:
        for number in range(40):
            visitor = f"visitor {number}"
            answer = client.get("/related/B0009?k=3", headers={"x-visitor": visitor})
            arm = answer.headers.get("x-arm")
            assert arm == assigned(settings.experiment, visitor)
            assert answer.headers["x-release"] == answer.json()["release"] == releases[arm]
            arms[arm] += 1
            said = {
                "request_id": answer.headers["x-request-id"],
                "release": answer.headers["x-release"],
                "arm": arm,
                "visitor": visitor,
                "product_id": answer.json()["hits"][0]["product"]["product_id"],
            }
            kinds = ["impression", "click", "click", *(["purchase"] if arm == "b" else [])]
            taken = client.post("/events", json={"events": [{**said, "kind": kind} for kind in kinds]})
            assert (taken.status_code, taken.json()) == (202, {"taken": len(kinds), "dropped": 0})
        assert client.post("/events", json={"events": [{**said, "kind": "dance"}]}).status_code == 422
        assert 'twinvec_events_total{fate="taken",kind="click"} 80.0' in client.get("/metrics").text
    home = Settings(home=tmp_path / "home", serving=settings)
    first, second = report_arms(home, 0.05)
    assert (first.name, first.release, first.clicked.count, first.clicked.total) == (
        "a", "related_products__v1", arms["a"], arms["a"],
    )  # fmt: skip
    assert (second.bought.count, first.bought.count) == (arms["b"], 0)
    assert second.purchases_more is not None
    assert second.purchases_more.value == 1
    log_arms(home, [first, second])
    import mlflow

    runs = mlflow.search_runs(experiment_names=["twinvec/ab"], output_format="list")
    assert sorted(run.info.run_name for run in runs) == ["a", "ab", "b"]
    rows = export_events(home, tmp_path / "out")
    assert rows == {"views": 80, "orders": arms["b"]}
    assert pq.read_schema(tmp_path / "out/orders.parquet").names == ["order_id", "product_id", "time"]


def random_events(count: int) -> list[dict[str, Any]]:
    random = np.random.default_rng(secrets.randbits(32))
    kinds = random.choice(["impression", "click", "cart", "purchase"], count)
    return [
        {"time": datetime(2026, 1, 1, second // 3600, second // 60 % 60, second % 60, second, UTC),
         "kind": str(kinds[number]), "request_id": f"r{number}", "release": f"related_products__v{number % 2}",
         "arm": [None, "a", "b"][number % 3], "visitor": [None, f"ü{number % 50}"][number % 2],
         "product_id": "p'\\\n", "order_id": [None, f"o{number}"][number % 2]}
        for number, second in enumerate(random.integers(0, 86_400, count).tolist())
    ]  # fmt: skip


@pytest.mark.postgres
def test_events_in_postgresql_are_those_of_files(emptied_postgres: str, tmp_path: Path) -> None:
    events = random_events(2500)
    database = EventSettings(enabled=True, url=SecretStr(emptied_postgres), seconds=60)
    homes = [
        Settings(home=tmp_path, serving=ServingSettings(events=each))
        for each in (EventSettings(enabled=True, folder=tmp_path / "events", seconds=60), database)
    ]
    with pytest.raises(StoreError, match=r"cannot be read from .*twinvec_events"):
        report_arms(homes[1], 0.05)
    for home in homes:
        log = open_log(home.serving.events, None)
        assert log is not None
        assert log.add(events) == 2500
        log.close()
    assert report_arms(homes[0], 0.05) == report_arms(homes[1], 0.05)
    rows = [export_events(home, tmp_path / str(number)) for number, home in enumerate(homes)]
    assert rows[0] == rows[1]
    for name in ("views", "orders"):
        tables = [pq.read_table(tmp_path / str(number) / f"{name}.parquet") for number in (0, 1)]
        assert tables[0].equals(tables[1])
    # Sent again, as after an answer that was lost, nothing is there twice.
    table = EventTable(emptied_postgres)
    sent = [{"event_id": UUID(int=number), **event} for number, event in enumerate(events[:5])]
    for _ in range(2):
        table.write(sent)
    assert sum(map(len, table.read())) == 2505


def test_a_database_that_does_not_answer_is_never_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        url = f"postgresql+psycopg://me:hidden@127.0.0.1:{silent.getsockname()[1]}/shop"
        monkeypatch.setattr(event_table, "CONNECT_SECONDS", 2)
        log = open_log(EventSettings(enabled=True, url=SecretStr(url), queue=4, seconds=0.01), None)
        assert log is not None
        started = time.monotonic()
        assert [log.add(random_events(3)), log.add(random_events(3))] == [3, 1]
        time.sleep(0.1)  # the thread is waiting for the server
        assert log.add(random_events(3)) == 0
        assert time.monotonic() - started < 1
        log.close()
    assert "4 events are lost: events cannot be written to 127.0.0.1/shop" in caplog.text
    assert "hidden" not in caplog.text
    with pytest.raises(StoreError, match="no URL of PostgreSQL"):
        open_log(EventSettings(enabled=True, url=SecretStr("sqlite:///x")), None)

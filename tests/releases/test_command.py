"""The command on a home with releases: what it prints, and what it changes."""

from __future__ import annotations

import gzip
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from typer.testing import CliRunner, Result

from pipelines.command import app
from twinvec.workspace import Workspace


@pytest.fixture
def home(served: Workspace, monkeypatch: pytest.MonkeyPatch) -> Path:
    served.index.close()
    monkeypatch.setenv("TWINVEC_HOME", str(served.settings.home))
    return served.settings.home


def twinvec(*arguments: str) -> Any:
    """Return what the command prints as JSON."""
    result = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def words(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_releases_are_published_promoted_and_rolled_back(home: Path) -> None:
    assert twinvec("status")["live"] == "related_products__v1"
    assert twinvec("promote")["release"] == "related_products@v2"
    assert twinvec("status")["live"] == "related_products__v2"
    published = twinvec("publish", "related@v1")
    assert (published["release"], published["state"]) == ("related_products@v3", "ready")
    assert published["verification"]["points"] == 300
    assert twinvec("promote", "related_products@v3")["state"] == "live"
    assert twinvec("rollback")["release"] == "related_products@v2"
    assert twinvec("rollback")["release"] == "related_products@v1"
    refused = words("rollback")
    assert refused.exit_code == 1
    assert "no release of related_products to go back to" in refused.stderr

    table = words("status").stdout
    assert re.search(r"related_products@v3 +retired +related@v1 ", table)
    assert "Releases (live: related_products@v1)" in table
    published = words("publish").stdout
    assert "`twinvec promote related_products@v4`" in published
    assert re.search(r"recall@10 of the index, beside exact search +[01]\.\d{4} ", published)
    assert "recall_at_10" not in published


def test_what_was_tried_to_choose_a_quantisation_is_printed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWINVEC_QDRANT__QUANTIZATION", "auto")
    monkeypatch.setenv("TWINVEC_QDRANT__FULL_SCAN_THRESHOLD", "1")
    table = words("publish", "related@v2").stdout
    (chosen,) = re.findall(r"Quantisation \((\w+) was chosen\)", table)
    assert re.search(rf"quantisation +{chosen} ", table)
    assert re.search(r"none +[01]\.\d+ +[01]\.\d+ +14,400", table)


def test_status_lists_everything(world: Any, home: Path) -> None:
    status = twinvec("status")
    assert status["home"] == str(home)
    assert [row["snapshot"] for row in status["snapshots"]] == [world.versions[0].snapshot_id]
    assert [row["version"] for row in status["versions"]] == [
        "text@v1", "related@v1", "text@v2", "related@v2",
    ]  # fmt: skip
    assert status["versions"][-1]["inputs"] == ["text@v2"]
    assert [(row["release"], row["state"]) for row in status["releases"]] == [
        ("related_products@v1", "live"),
        ("related_products@v2", "ready"),
    ]
    stages = {row["space"]: row for row in status["stages"]}
    assert stages["related"]["stale"]
    assert stages["related"]["version"] == "related@v2"
    assert stages["graph"]["version"] is None


def test_related_products_on_the_command_line(world: Any, home: Path) -> None:
    products = world.products
    row = 11
    product = products["product_id"][row]
    own = np.array([name == products["marketplace"][row] for name in products["marketplace"]])
    found = twinvec("related", product, "-k", "7")
    assert found["release"] == "related_products__v1"
    assert [hit["product"]["product_id"] for hit in found["hits"]] == world.best(0, product, 7, own)

    department = products["category"][row][0]
    priced = np.array([np.nan if price is None else price for price in products["price"]])
    allowed = np.array([department in path for path in products["category"]]) & (priced <= 60) & own
    filtered = twinvec("related", product, "-k", "5", "--in-category", department, "--max-price", "60")
    assert [hit["product"]["product_id"] for hit in filtered["hits"]] == world.best(0, product, 5, allowed)

    twinvec("promote")
    newer = twinvec("related", product, "-k", "7")
    assert [hit["product"]["product_id"] for hit in newer["hits"]] == world.best(1, product, 7, own)
    table = words("related", product, "-k", "2").stdout
    for shown in (product, *world.best(1, product, 2, own), "related_products__v2", "score"):
        assert shown in table


def test_recorded_figures_are_of_the_live_release(home: Path) -> None:
    assert twinvec("evaluate") == {"version": "related@v1", "mrr_at_10": 0.25}
    assert twinvec("evaluate", "text")["version"] == "text@v2"
    assert twinvec("evaluate", "related@v2")["version"] == "related@v2"
    assert "held out" in words("evaluate").stdout


def test_given_edges_are_ranked_by_the_live_release(world: Any, home: Path, tmp_path: Path) -> None:
    ids = world.products["product_id"]
    lines = [f"{ids[row]},{world.best(0, ids[row], 1, np.ones(300, bool))[0]}" for row in range(30)]
    edges = tmp_path / "edges.csv"
    edges.write_text("\n".join(["source,target", *lines, f"{ids[0]},stranger"]))
    figures = twinvec("evaluate", "related", "--edges", str(edges))
    assert figures["version"] == "related@v1"
    # Each target is the best of all; a known co-purchase among them may only be left out of the ranks.
    assert figures["hits_at_1"] == pytest.approx(1.0)
    assert figures["mrr_at_10"] == pytest.approx(1.0)
    missing = words("evaluate", "--edges", str(tmp_path / "edgs.csv"))
    assert missing.exit_code == 1
    assert "did you mean edges.csv" in missing.stderr


def test_the_demo_does_not_take_the_place_of_a_live_release(home: Path) -> None:
    result = words("demo")
    assert result.exit_code == 1
    assert "related_products__v1 is live" in result.stderr
    assert "TWINVEC_HOME=" in result.stderr
    assert not (home / "demo").exists()


class Collector:
    """An OTLP collector that keeps all that a server sends: path → bodies of requests."""

    def __init__(self) -> None:
        self.received: dict[str, list[bytes]] = {}
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.received.setdefault(self.path, []).append(body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                """Nothing is printed."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def spans(self) -> list[tuple[str, str, dict[str, str]]]:
        """Return the service, the name and the text attributes of each span."""
        return [
            (_texts(resource.resource.attributes)["service.name"], span.name, _texts(span.attributes))
            for body in self.received["/v1/traces"]
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def metrics(self) -> set[str]:
        """Return the names of all figures."""
        return {
            metric.name
            for body in self.received["/v1/metrics"]
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


def _texts(attributes: Any) -> dict[str, str]:
    return {each.key: each.value.string_value for each in attributes}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Return a collector to which servers that start now send traces and figures."""
    collector = Collector()
    monkeypatch.setenv("TWINVEC_SERVING__TELEMETRY", "true")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server.server_port}")
    yield collector
    collector.server.shutdown()
    collector.server.server_close()


def test_the_api_is_served_traced_and_follows_a_promotion(
    world: Any, home: Path, collector: Collector
) -> None:
    product = world.products["product_id"][3]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [Path(sys.executable).parent / "twinvec", "serve", "--port", str(port)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )

    def get(path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return json.load(answer)

    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                assert get("/health") == {"status": "ok"}
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
        for which in (0, 1):
            hits = get(f"/related/{product}?k=5")["hits"]
            markets = world.products["marketplace"]
            own = np.array([name == markets[world.products["product_id"].index(product)] for name in markets])
            wanted = world.best(which, product, 5, own)
            assert [hit["product"]["product_id"] for hit in hits] == wanted
            if which == 0:
                twinvec("promote")
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode in (0, 130)
    answered = [
        (service, attributes["twinvec.release"])
        for service, name, attributes in collector.spans()
        if name == "GET /related/{product_id}"
    ]
    assert answered == [("shop", "related_products__v1"), ("shop", "related_products__v2")]
    assert "http.server.request.duration" in collector.metrics()

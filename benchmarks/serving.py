"""Throughput and latency of the HTTP API, beside a FastAPI app that returns a constant, in one run.

    python benchmarks/serving.py HOME --output benchmarks/results/serving.json

Servers are processes of their own, one after the other, in turns; the caller is this process. The constant app is
written as FastAPI's tutorial has it, `async def` with a dictionary of the answer's size, and once with a small one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measuring import RESULTS, Ratio, machine
from twinvec.settings import load_settings
from twinvec.workspace import Workspace

CONNECTIONS = 32
CONSTANT = """
import json, sys
from fastapi import FastAPI
import uvicorn
app = FastAPI()
ANSWER = json.loads(sys.stdin.read())
@app.get("/related/{product_id}")
async def related(product_id: str, k: int = 10):
    return ANSWER
@app.get("/small/{product_id}")
async def small(product_id: str, k: int = 10):
    return {"answer": 42}
@app.get("/ready")
async def ready():
    return {}
uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="error")
"""


async def request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: bytes) -> bytes:
    """Send a request on a connection, and return the body of the answer.

    Raises:
        RuntimeError: If the answer is not 200.
    """
    writer.write(message)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    body = await reader.readexactly(length)
    if b" 200 " not in head[:20]:
        raise RuntimeError(f"{head!r} {body!r}")
    return body


async def load(port: int, messages: Sequence[bytes], connections: int, seconds: float) -> list[float]:
    """Send requests on some connections for some seconds, and return the seconds of each."""
    spent: list[float] = []
    end = time.perf_counter() + seconds

    async def one(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (started := time.perf_counter()) < end:
            await request(reader, writer, messages[number % len(messages)])
            spent.append(time.perf_counter() - started)
            number += connections
        writer.close()

    await asyncio.gather(*(one(number) for number in range(connections)))
    return spent


def get(path: str) -> bytes:
    """Return a GET request."""
    return f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()


def post(path: str, body: Any) -> bytes:
    """Return a POST request of JSON."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return head.encode() + f"content-length: {len(content)}\r\n\r\n".encode() + content


@contextmanager
def server(command: Sequence[str], port: int, home: Path, given: bytes = b"") -> Iterator[int]:
    """Run a server for as long as the block, from when it is ready; yields the id of its process."""
    environment = {
        **os.environ,
        "TWINVEC_HOME": str(home),
        "OMP_NUM_THREADS": "1",
        "TWINVEC_SERVING__LOG": "false",
    }
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
    assert process.stdin is not None
    process.stdin.write(given)
    process.stdin.close()
    try:
        for _ in range(300):
            try:
                asyncio.run(load(port, [get("/ready")], 1, 0.01))
                break
            except (OSError, RuntimeError, asyncio.IncompleteReadError):
                time.sleep(0.2)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def resident_mib(pid: int) -> float:
    """Resident memory of a process, MiB."""
    text = Path(f"/proc/{pid}/status").read_text("utf-8")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS")) / 2**10


def main() -> None:
    """Measure, print the ratios, and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path, help="home with a live release that answers from lists")
    parser.add_argument("--seconds", type=float, default=4.0, help="seconds of each load")
    parser.add_argument("--rounds", type=int, default=3, help="turns")
    parser.add_argument("--port", type=int, default=8901)
    parser.add_argument("--output", type=Path, default=RESULTS / "serving.json")
    arguments = parser.parse_args()
    from twinvec.home import open_home
    from twinvec.serving.opening import open_recommender

    home = open_home(arguments.home, device="cpu")
    ids = home.vectors("related").keys.to_pylist()[:500]
    recommender = open_recommender(Workspace(load_settings(home=arguments.home)))
    answer = home.related(ids[0])
    import orjson

    constant = orjson.dumps(answer, default=str)
    recommender.related(ids[0])
    collection = recommender.collection_of()
    recommender.index.related(collection, ids[0], 10)
    bare = []
    for name in ids * 4:
        started = time.perf_counter()
        recommender.index.related(collection, name, 10, None, recommender.ef)
        bare.append(time.perf_counter() - started)
    cold = home._answerer.cold_start
    encoder = []
    if cold is not None:
        cold.warm(collection)
        encoders = cold._encoders_of(collection)  # type: ignore[attr-defined]
        from twinvec.serving.related import NewProduct

        for number in range(100):
            new = NewProduct(f"Coffee machine {number}")
            started = time.perf_counter()
            encoders.models.encode(new, ())
            encoder.append(time.perf_counter() - started)
    home.close()
    recommender.index.close()
    port, seconds = arguments.port, arguments.seconds
    ours = [str(Path(sys.executable).parent / "twinvec"), "serve", "--port", str(port)]
    figures: dict[str, list[float]] = {}
    memory: list[float] = []
    for _ in range(arguments.rounds):
        with server([sys.executable, "-c", CONSTANT, str(port)], port, arguments.home, constant):
            for kind in ("related", "small"):
                spent = asyncio.run(
                    load(port, [get(f"/{kind}/{name}?k=10") for name in ids], CONNECTIONS, seconds)
                )
                figures.setdefault(f"constant {kind} requests/s", []).append(len(spent) / seconds)
        with server(ours, port, arguments.home) as pid:
            single = [get(f"/related/{name}?k=10") for name in ids]
            asyncio.run(load(port, single, 4, 1))
            memory.append(resident_mib(pid))
            spent = asyncio.run(load(port, single, CONNECTIONS, seconds))
            figures.setdefault("related requests/s", []).append(len(spent) / seconds)
            spent = asyncio.run(load(port, single, 1, seconds))
            figures.setdefault("related p50", []).append(statistics.median(spent))
            figures.setdefault("related p99", []).append(statistics.quantiles(spent, n=100)[98])
            many = [
                post("/related/batch", {"ids": (ids * 2)[first : first + 100]}) for first in range(0, 400, 50)
            ]
            spent = asyncio.run(load(port, many, 1, seconds / 2))
            figures.setdefault("batch of 100 p50", []).append(statistics.median(spent))
            if encoder:
                new_products = [
                    post("/related", {"title": f"Coffee machine {number}"}) for number in range(50)
                ]
                spent = asyncio.run(load(port, new_products, 1, seconds / 2))
                figures.setdefault("new product p50", []).append(statistics.median(spent))
            memory.append(resident_mib(pid))
    middle = {name: statistics.median(values) for name, values in figures.items()}
    bare99 = statistics.quantiles(bare, n=100)[98]
    ratios = [
        Ratio(
            "requests/s of GET /related from lists, 32 connections",
            "a FastAPI app that returns the same answer",
            middle["related requests/s"] / middle["constant related requests/s"],
            0.7,
            least=True,
        ),
        Ratio(
            "the same",
            "a FastAPI app that returns {'answer': 42}",
            middle["related requests/s"] / middle["constant small requests/s"],
            0.7,
            least=True,
        ),
        Ratio(
            "p99 of one connection, ms",
            "that of bare Edge",
            (middle["related p99"] - bare99) * 1e3,
            2.0,
            least=False,
        ),
        Ratio(
            "batch of 100 ids", "one id", middle["batch of 100 p50"] / middle["related p50"], 5.0, least=False
        ),
    ]
    if encoder:
        against = middle["new product p50"] / statistics.median(encoder)
        ratios.append(Ratio("POST of a new product, p50", "the encoder alone", against, 1.3, least=False))
    for each in ratios:
        print(each)
    result: dict[str, Any] = {
        "machine": machine("fastapi", "uvicorn", "orjson"),
        "figures": middle,
        "bare edge": {"p50": statistics.median(bare), "p99": bare99},
        "encoder p50": statistics.median(encoder) if encoder else None,
        "memory MiB": {"ready": memory[0], "after POST": memory[-1]},
        "ratios": [vars(each) | {"met": each.met} for each in ratios],
    }
    print(
        json.dumps(
            result["figures"] | {"memory": result["memory MiB"], "bare": result["bare edge"]}, indent=1
        )
    )
    arguments.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

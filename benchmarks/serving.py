"""Throughput, latency and memory of the HTTP API, beside a FastAPI app that returns a constant, in one run.

    python benchmarks/serving.py HOME --output benchmarks/results/serving.json
    python benchmarks/serving.py HOME --only related batch

Three servers run at once, each a process of its own, and are asked in turns by this one: the constant app, written as
FastAPI's tutorial has it; `twinvec serve` by its defaults; and `twinvec serve` that keeps no answers, so that each is
computed. Bare Edge and the encoder alone are measured in this process, in the same turns.
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
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import orjson
import torch

from benchmarks.measuring import RESULTS, Ratio, finish
from pipelines.cold_start.encoders import find_encoders
from pipelines.cold_start.models import Models
from twinvec.serving.opening import open_recommender
from twinvec.serving.product import Product
from twinvec.serving.related import NewProduct, Recommender
from twinvec.settings import load_settings
from twinvec.workspace import Workspace

CONNECTIONS = 32
PARTS = ("related", "filters", "batch", "new")
# Servers of ours, and how they answer what was asked before.
SERVERS = {"served": "kept", "computed": "computed"}
CACHE_MIB = {"served": "64", "computed": "0"}
CONSTANTS = {
    "answer": "FastAPI that returns the answer as a dictionary",
    "small": 'FastAPI that returns `{"answer": 42}`',
    "bytes": "FastAPI that returns the answer as bytes",
}
CONSTANT = """
import json, sys
from fastapi import FastAPI, Response
import uvicorn
app = FastAPI()
CONTENT = sys.stdin.buffer.read()
ANSWER = json.loads(CONTENT)
@app.get("/answer/{product_id}")
async def answer(product_id: str, k: int = 10):
    return ANSWER
@app.get("/small/{product_id}")
async def small(product_id: str, k: int = 10):
    return {"answer": 42}
@app.get("/bytes/{product_id}")
async def content(product_id: str, k: int = 10):
    return Response(CONTENT, media_type="application/json")
@app.get("/ready")
async def ready():
    return {}
uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="error")
"""
Figures = dict[str, list[float]]


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
def server(
    command: Sequence[str], port: int, home: Path, cache: str = "64", given: bytes = b""
) -> Iterator[int]:
    """Run a server for as long as the block, from when it is ready; yields the id of its process."""
    environment = {**os.environ, "TWINVEC_HOME": str(home), "TWINVEC_SERVING__CACHE": cache}
    # The log of requests is written, as by default, to nowhere.
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
            if process.poll() is not None:
                raise RuntimeError(f"{command[0]} ended at once, with status {process.returncode}")
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def memory_mib(pid: int) -> float:
    """Resident memory of a process, MiB."""
    text = Path(f"/proc/{pid}/status").read_text("utf-8")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS")) / 2**10


def seconds_of(work: Callable[[str], object], names: Sequence[str]) -> list[float]:
    """Return the seconds of a call for each name."""
    spent = []
    for name in names:
        started = time.perf_counter()
        work(name)
        spent.append(time.perf_counter() - started)
    return spent


class Caller:
    """Asks the servers, and notes what was measured under names.

    Args:
        ports: Server → port.
        seconds: Seconds of each load.
    """

    def __init__(self, ports: dict[str, int], seconds: float) -> None:
        self.ports = ports
        self.seconds = seconds
        self.spent: Figures = defaultdict(list)
        self.rates: Figures = defaultdict(list)

    def rate(self, name: str, where: str, messages: Sequence[bytes]) -> None:
        """Measure the answers a second to many connections."""
        spent = asyncio.run(load(self.ports[where], messages, CONNECTIONS, self.seconds))
        self.rates[name].append(len(spent) / self.seconds)

    def latency(self, name: str, where: str, messages: Sequence[bytes]) -> None:
        """Measure the seconds of answers to one connection."""
        self.spent[name] += asyncio.run(load(self.ports[where], messages, 1, self.seconds / 2))


def ask_all(caller: Caller, parts: Sequence[str], ids: Sequence[str], products: Sequence[Product]) -> None:
    """Ask all servers once for what the parts measure."""
    one = [get(f"/related/{name}?k=10") for name in ids]
    for kind in CONSTANTS if "related" in parts else ():
        caller.rate(f"constant {kind}", "constant", [get(f"/{kind}/{name}?k=10") for name in ids])
    for where in SERVERS:
        if "related" in parts:
            caller.rate(where, where, one)
        caller.latency(f"{where} one", where, one)
        if "filters" in parts:
            chosen = [each for each in products if each.category and each.price is not None]
            by_category = [get(f"/related/{each.product_id}?category={each.category[0]}") for each in chosen]
            by_price = [
                get(f"/related/{each.product_id}?max_price={2 * (each.price or 0)}") for each in chosen
            ]
            caller.latency(f"{where} category", where, by_category)
            caller.latency(f"{where} price", where, by_price)
        if "batch" in parts:
            groups = [(list(ids) * 2)[first : first + 100] for first in range(0, len(ids), 50)]
            caller.latency(
                f"{where} batch", where, [post("/related/batch", {"ids": group}) for group in groups]
            )
    if "new" in parts:
        new = [post("/related", {"title": f"Coffee machine {number}"}) for number in range(50)]
        caller.latency("new product", "served", new)


def ratios_of(caller: Caller, bare: Sequence[float], encoder: Sequence[float]) -> list[Ratio]:
    """Return what there are targets for, of the parts that were measured."""
    rate = {name: statistics.median(values) for name, values in caller.rates.items()}
    p50 = {name: statistics.median(values) for name, values in caller.spent.items()}
    ratios = []
    for where, told in SERVERS.items():
        for kind, constant in CONSTANTS.items() if where in rate else ():
            what = f"answers a second on {CONNECTIONS} connections, {told}"
            ratios.append(Ratio(what, constant, rate[where] / rate[f"constant {kind}"], 0.7, least=True))
        more = (quantile(caller.spent[f"{where} one"]) - quantile(bare)) * 1e3
        ratios.append(
            Ratio(f"p99 of one connection beyond bare Edge's, {told}", "2 ms", more / 2, 1.0, least=False)
        )
        for name, target in (("category", 1.3), ("price", 1.3), ("batch", 5.0)):
            if f"{where} {name}" in p50:
                what = "a batch of 100" if name == "batch" else f"a list under a {name} filter"
                value = p50[f"{where} {name}"] / p50[f"{where} one"]
                ratios.append(Ratio(f"{what}, p50, {told}", "one product", value, target, least=False))
    if encoder:
        value = p50["new product"] / statistics.median(encoder)
        ratios.append(Ratio("a new product, p50", "its encoder alone", value, 1.3, least=False))
    return ratios


def quantile(values: Sequence[float]) -> float:
    """Return the 99th percentile."""
    return statistics.quantiles(values, n=100)[98]


def measure_alone(
    recommender: Recommender, models: Models | None, ids: Sequence[str]
) -> tuple[list[float], list[float]]:
    """Return the seconds of queries of bare Edge, and of the encoder."""
    collection = recommender.collection_of()
    bare = seconds_of(lambda name: recommender.index.related(collection, name, 10, None, recommender.ef), ids)
    titles = [f"Coffee machine {number}" for number in range(50)] if models is not None else []
    return bare, seconds_of(lambda title: models and models.encode(NewProduct(title), ()), titles)


def main() -> None:
    """Measure, print the ratios, and write them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("home", type=Path, help="home with a live release that answers from lists")
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts that are measured"
    )
    parser.add_argument("--seconds", type=float, default=1.5, help="seconds of each load")
    parser.add_argument("--rounds", type=int, default=3, help="turns")
    parser.add_argument("--port", type=int, default=8901, help="first of three ports")
    parser.add_argument("--output", type=Path, default=RESULTS / "serving.json")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # as `serving.threads` has it
    torch.set_num_threads(1)  # here, where torch has read the variable before
    workspace = Workspace(load_settings(home=arguments.home))
    recommender = open_recommender(workspace)
    lists = recommender.lists_of(recommender.collection_of())
    if lists is None:
        parser.error("the live release of this home has no lists")
    ids = lists.product_ids[:500]
    products = [recommender.product(name, recommender.collection_of()) for name in ids]
    content = orjson.dumps(recommender.related(ids[0]), default=str)
    models = find_encoders(workspace, recommender.collection_of()).models if "new" in arguments.only else None
    ports = {name: arguments.port + number for number, name in enumerate(("constant", *SERVERS))}
    caller = Caller(ports, arguments.seconds)
    bare: list[float] = []
    encoder: list[float] = []
    memory = {}
    with ExitStack() as stack:
        command = [sys.executable, "-c", CONSTANT, str(ports["constant"])]
        stack.enter_context(server(command, ports["constant"], arguments.home, given=content))
        twinvec = str(Path(sys.executable).parent / "twinvec")
        for name, cache in CACHE_MIB.items():
            command = [twinvec, "serve", "--port", str(ports[name])]
            pid = stack.enter_context(server(command, ports[name], arguments.home, cache))
            memory[name] = pid, memory_mib(pid)
        for _ in range(arguments.rounds):
            alone = measure_alone(recommender, models, ids)
            bare += alone[0]
            encoder += alone[1]
            ask_all(caller, arguments.only, ids, products)
        resident = {name: {"ready": ready, "after": memory_mib(pid)} for name, (pid, ready) in memory.items()}
    workspace.close()
    spent = {**caller.spent, "bare Edge": bare, **({"encoder": encoder} if encoder else {})}
    figures = {
        "requests_per_second": {name: statistics.median(values) for name, values in caller.rates.items()},
        "milliseconds": {
            name: {"p50": statistics.median(values) * 1e3, "p99": quantile(values) * 1e3}
            for name, values in spent.items()
        },
        "memory_mib": resident,
    }
    packages = ("fastapi", "uvicorn", "orjson", "qdrant-edge-py", "torch")
    settings = {"products": len(ids), "seconds": arguments.seconds, "rounds": arguments.rounds}
    finish(arguments.output, settings, ratios_of(caller, bare, encoder), figures, packages)


if __name__ == "__main__":
    main()

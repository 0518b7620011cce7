"""Measure how fast texts and images are encoded, beside what their libraries do by themselves, in one run.

    TWINVEC_HOME=… python benchmarks/encode.py --output benchmarks/results/encode.json

Texts are those of the home's latest snapshot (`twinvec ingest` makes one); images are those of a synthetic store made
for the run. All ways take turns, several rounds of them, and the best round of each counts: what else the machine does
meanwhile then weighs on all alike. Reading has a share that does not grow with the images, and overlaps with the
encoder only where a core is free. `rate` is by the clock; `ratio` compares it with the library's, and
`ratio_of_processor_time` the time of all cores that the two used. `distance` is the greatest cosine distance of a
vector from the library's own in float32.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from pipelines.image.encoder import encode_images
from pipelines.image.encoder import load_encoder as load_image_encoder
from pipelines.image.reading import read_images
from pipelines.text.encoder import encode_texts, load_encoder
from pipelines.text.forward import Forward, build_forward
from pipelines.text.texts import read_texts
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.snapshot import Snapshot
from twinvec.catalogue.synthetic import generate
from twinvec.nn.device import Precision, resolve_device
from twinvec.nn.models.image import ImageEncoder, MeanAndSpread
from twinvec.settings import ImageSettings, Settings, TextSettings, load_settings
from twinvec.workspace import Workspace

Vectors = npt.NDArray[np.float32]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
# The pipelines' own.
TEXT_CHUNK, IMAGE_CHUNK = 1024, 512


@dataclass(frozen=True)
class Row:
    """One line of the table; `distance` is null for what gives other vectors than ours."""

    name: str
    rate: float
    ratio: float
    ratio_of_processor_time: float
    distance: float | None


def measure(
    what: str, ways: Mapping[str, Callable[[], Vectors]], count: int, rounds: int, exact: Vectors | None
) -> list[Row]:
    """Let the ways take turns, the first being the library's, and print a line for each."""
    clock: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    vectors: dict[str, Vectors] = {}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            started, used = time.perf_counter(), time.process_time()
            vectors[name] = way()
            if turn:  # The first round warms up.
                clock[name].append(time.perf_counter() - started)
                processor[name].append(time.process_time() - used)
    plain = next(iter(ways))
    reference = vectors[plain] if exact is None else exact
    rows = []
    print(f"{what:44} {f'{what}/s':>9} {'ratio':>6} {'by processor time':>18} {'distance':>9}")
    for name in ways:
        distance = None if vectors[name].shape != reference.shape else furthest(vectors[name], reference)
        ratio = min(clock[plain]) / min(clock[name])
        by_processor = min(processor[plain]) / min(processor[name])
        rows.append(Row(name, count / min(clock[name]), ratio, by_processor, distance))
        shown = "" if distance is None else f"{distance:.1e}"
        print(f"{name:44} {rows[-1].rate:9,.0f} {ratio:6.2f} {by_processor:18.2f} {shown:>9}", flush=True)
    return rows


def furthest(vectors: Vectors, reference: Vectors) -> float:
    """The greatest cosine distance between rows of length one."""
    return float(np.max(1 - np.sum(vectors * reference, axis=1, dtype=np.float64)).clip(0))


def text_ways(
    texts: list[str], options: TextSettings, device: torch.device
) -> dict[str, Callable[[], Vectors]]:
    """SentenceTransformer.encode, and ours by backend and precision."""
    encoder = load_encoder(options.model, options.max_length, device)

    def plain() -> Vectors:
        return np.asarray(encoder.encode(texts, normalize_embeddings=True, show_progress_bar=False))

    def in_chunks(forward: Forward) -> Vectors:
        return np.concatenate(
            [
                encode_texts(encoder, texts[first : first + TEXT_CHUNK], options.batch, forward)
                for first in range(0, len(texts), TEXT_CHUNK)
            ]
        )

    ways: dict[str, Callable[[], Vectors]] = {"SentenceTransformer.encode": plain}
    with_openvino = device.type == "cpu" and importlib.util.find_spec("openvino") is not None
    for backend in ("torch", "openvino") if with_openvino else ("torch",):
        for precision in PRECISIONS:
            forward = build_forward(encoder, backend, precision)
            ways[f"encode_texts, {backend}, {precision}"] = partial(in_chunks, forward)
    return ways


def image_ways(
    snapshot: Snapshot, encoder: ImageEncoder, options: ImageSettings, pixels: npt.NDArray[np.uint8]
) -> dict[str, Callable[[], Vectors]]:
    """Timm's own forward of normalised images that are in memory, and ours with and without reading."""
    device = encoder.mean.device
    model = encoder.backbone.vit if isinstance(encoder.backbone, MeanAndSpread) else encoder.backbone
    ready = (torch.from_numpy(pixels).to(device).float() / 255 - encoder.mean) / encoder.std

    def plain() -> Vectors:
        with torch.inference_mode():
            batches = [model(images) for images in torch.split(ready, options.batch)]
        return torch.cat(batches).cpu().numpy()

    def read_and_encode(precision: Precision) -> Vectors:
        return np.concatenate(
            [
                encode_images(encoder, batch.pixels, options.batch, precision)
                for batch in read_images(snapshot, options, IMAGE_CHUNK // 4)
            ]
        )

    ways: dict[str, Callable[[], Vectors]] = {"timm forward of tensors in memory": plain}
    for precision in PRECISIONS:
        ways[f"encode_images of pixels, {precision}"] = partial(
            encode_images, encoder, pixels, options.batch, precision
        )
    for precision in PRECISIONS:
        ways[f"read_images and encode_images, {precision}"] = partial(read_and_encode, precision)
    return ways


@contextmanager
def store_of_images(products: int) -> Iterator[Snapshot]:
    """The snapshot of a synthetic store with an image for each product."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(load_settings(home=Path(folder) / "home"))
        generate(Path(folder) / "source", products, seed=0)
        yield ingest(Path(folder) / "source", "parquet", workspace.settings, workspace.engine).snapshot


def machine(settings: Settings) -> dict[str, object]:
    """Return the settings that the figures depend on."""
    device = resolve_device(settings.device)
    names = Path("/proc/cpuinfo")
    lines = names.read_text().splitlines() if names.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "bfloat16_instructions": any("avx512_bf16" in line or "amx_bf16" in line for line in lines),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "load_average": os.getloadavg()[0],
    }


def main() -> None:
    """Measure and print texts, then images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--texts", type=int, default=2048, help="products whose texts are encoded")
    parser.add_argument("--images", type=int, default=500, help="products of the store with images")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count")
    parser.add_argument("--output", type=Path, help="file for the JSON result")
    options = parser.parse_args()
    settings = load_settings()
    device = resolve_device(settings.device)
    snapshot = Workspace(settings).snapshot()
    record: dict[str, object] = {"machine": machine(settings), "snapshot": snapshot.id}
    texts = [text for some in read_texts(snapshot, TEXT_CHUNK) for text in some.texts.to_pylist()]
    # Some of all the catalogue: its order may have to do with length.
    drawn = np.random.default_rng(0).choice(len(texts), min(options.texts, len(texts)), replace=False)
    texts = [texts[number] for number in drawn]
    ways = text_ways(texts, settings.text, device)
    rows = measure("texts", ways, len(texts), options.rounds, None)
    record["texts"] = {
        "model": settings.text.model,
        "batch": settings.text.batch,
        "count": len(texts),
        "rows": [asdict(row) for row in rows],
    }
    print()
    image = settings.image
    encoder = load_image_encoder(image.model, image.size, image.dimension, settings.seed).to(device)
    with store_of_images(options.images) as store:
        pixels = np.concatenate([batch.pixels for batch in read_images(store, image, IMAGE_CHUNK)])
        ready = (torch.from_numpy(pixels).to(device).float() / 255 - encoder.mean) / encoder.std
        with torch.inference_mode():
            exact = F.normalize(encoder.projection(encoder.backbone(ready)), dim=1).cpu().numpy()
        rows = measure(
            "images", image_ways(store, encoder, image, pixels), len(pixels), options.rounds, exact
        )
    record["images"] = {
        "model": image.model,
        "batch": image.batch,
        "count": len(pixels),
        "rows": [asdict(row) for row in rows],
    }
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()

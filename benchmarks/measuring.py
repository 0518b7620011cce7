"""Shared by all benchmarks: the machine and the versions, timing side by side, peak memory, files.

Ratios are of runs in one call of one benchmark, in turns, so that whatever else the machine does meets all alike.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Ratio:
    """Figure of a benchmark, and its target.

    Attributes:
        what: What is measured.
        against: Reference that it is divided by.
        value: Ratio.
        target: Bound that was set.
        least: Whether the ratio is to be at least the target; otherwise at most.
    """

    what: str
    against: str
    value: float
    target: float
    least: bool

    @property
    def met(self) -> bool:
        """Return whether the target is met."""
        return self.value >= self.target if self.least else self.value <= self.target

    def __str__(self) -> str:
        bound = "at least" if self.least else "at most"
        verdict = "met" if self.met else "MISSED"
        return f"{self.what} against {self.against}: {self.value:.2f}× (target: {bound} {self.target}×, {verdict})"


def in_turns(runs: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each of some runs, `repeats` times in turns; what comes first changes from round to round."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats):
        names = list(runs)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            started = time.perf_counter()
            runs[name]()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def medians(seconds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The median of each."""
    return {name: statistics.median(values) for name, values in seconds.items()}


def peak_mib() -> float:
    """Peak resident memory of this process so far, MiB."""
    # Not getrusage, which gives a new process the peak of the one that started it.
    text = Path("/proc/self/status").read_text("utf-8")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM")) / 2**10


def anonymous_mib() -> float:
    """Memory of this process beside files that are mapped into it, MiB (`RssAnon` of Linux)."""
    text = Path("/proc/self/status").read_text("utf-8")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("RssAnon")) / 2**10


class AnonymousPeak:
    """Largest `anonymous_mib` while the block runs, read every 20 ms. Mapped files are memory that can be taken back.

    Attributes:
        mib: The largest so far.
        at: Last message told to `progress` before it was reached.
    """

    def __init__(self) -> None:
        self.mib, self.at, self._message = 0.0, "", ""
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> AnonymousPeak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            used = anonymous_mib()
            if used > self.mib:
                self.mib, self.at = used, self._message

    def progress(self, message: str) -> None:
        """Take in what is being done."""
        self._message = message


def machine(*packages: str) -> dict[str, Any]:
    """The machine, its load when asked, and the versions of some packages that are installed."""
    name = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    versions = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "versions": versions,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def add_output(parser: argparse.ArgumentParser) -> None:
    """The option for the JSON file; a chart goes beside it."""
    parser.add_argument("--output", type=Path, help="file for the JSON result; the chart goes beside it")


def finish(
    output: Path | None,
    settings: Mapping[str, Any],
    ratios: Sequence[Ratio],
    figures: Mapping[str, Any],
    packages: Sequence[str],
) -> dict[str, Any]:
    """Print the figures and the ratios, and write the record if `output` is given; returns the record."""
    record = {
        "machine": machine(*packages),
        "settings": {
            key: value for key, value in settings.items() if key not in ("output", "only", "folder")
        },
        **figures,
        "ratios": [asdict(ratio) | {"met": ratio.met} for ratio in ratios],
    }
    print(json.dumps(figures, indent=2))
    for ratio in ratios:
        print(ratio)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return record


def bars(output: Path | None, title: str, unit: str, values: Mapping[str, float]) -> None:
    """Draw horizontal bars beside the JSON file, the first value on top."""
    if output is None:
        return
    figure, axes = _figure(height=1.2 + 0.45 * len(values))
    names = list(values)[::-1]
    drawn = axes.barh(names, [values[name] for name in names], color="#4878a8")
    axes.bar_label(drawn, fmt="{:,.3g}", padding=3)
    axes.set_xlabel(unit)
    axes.set_title(title)
    axes.margins(x=0.15)
    figure.savefig(output.with_suffix(".png"), dpi=120)


def lines(
    output: Path | None,
    title: str,
    x: str,
    y: str,
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    y_scale: str = "log",
) -> None:
    """Draw series of (x, y) beside the JSON file, x on a logarithmic axis."""
    if output is None:
        return
    figure, axes = _figure(height=4.5)
    for name, (places, values) in series.items():
        axes.plot(places, values, marker="o", label=name)
    axes.set(xscale="log", yscale=y_scale, xlabel=x, ylabel=y, title=title)
    axes.grid(visible=True, which="major", alpha=0.4)
    axes.legend()
    figure.savefig(output.with_suffix(".png"), dpi=120)


def _figure(height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # not pyplot, which wants a screen

    figure = Figure(figsize=(7.5, height), layout="constrained")
    return figure, figure.subplots()

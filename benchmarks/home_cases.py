"""Cases of homes: moved, copied, changed by other clients, only read, or attacked.

`benchmarks/cases.py` writes the rows. A small home is made once; each case has a copy of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import numpy as np
import pandas as pd
from feast import FeatureStore
from mlflow import MlflowClient
from typer.testing import CliRunner

import twinvec
from pipelines.command import app
from pipelines.image.reading import read_images
from twinvec import files
from twinvec.catalogue.synthetic import generate
from twinvec.settings import ImageSettings

BRIEF: dict[str, Any] = {
    "device": "cpu",
    "category": {"epochs": 20},
    "text": {"scheme": "pretrained"},
    "image": {"scheme": "none"},
    "aligned": {"dimension": 16, "epochs": 1},
    "related": {"dimension": 16, "twinvec": {"epochs": 2}},
}
ENVIRONMENT = {
    "TWINVEC_DEVICE": "cpu",
    "TWINVEC_CATEGORY__EPOCHS": "20",
    "TWINVEC_TEXT__SCHEME": "pretrained",
    "TWINVEC_IMAGE__SCHEME": "none",
}
SMALL_DISK = "1m"
# Of models and of files, which are others each time.
IDS = re.compile(r"(?<=m-)[0-9a-f]{32}|\b[0-9a-f]{16}…")


class Row(NamedTuple):
    """A kind of issue, what was done, and what happens."""

    kind: str
    done: str
    outcome: str


class Said(NamedTuple):
    """Exit status of a command, and what it wrote."""

    status: int
    out: str
    errors: str

    def short(self) -> str:
        """Return the status, and the error if there is one."""
        start = self.errors.find("error: ")
        text = self.errors[start:].strip() if start >= 0 else ""
        return f"exit {self.status}" + (f": {text}" if text else "")


def rows(folder: Path) -> Iterator[Row]:
    """Yield a row for each case.

    Args:
        folder: Empty folder for homes.
    """
    made = folder / "made" / "home"
    product = make_home(made)
    for number, (kind, done, case) in enumerate(cases()):
        own = folder / str(number)
        own.mkdir()
        outcome = case(copy(made, own / "home"), product)
        shutil.rmtree(own)
        hidden = outcome.replace(str(own), "…").replace(str(folder / "made"), "(first)")
        yield Row(kind, done, IDS.sub("…", hidden))


def cases() -> Sequence[tuple[str, str, Callable[[Path, str], str]]]:
    """Return kind, description and function of each case; the function gets a home and a product in it."""
    return (
        ("F", "the home was moved: `related`, `status`, `doctor`", moved),
        ("F", "the home was copied, and `train category --force` runs in the copy", copied),
        ("G", "`feast apply` in the home's folder", feast_apply),
        (
            "G",
            "a model version was deleted in MLflow, then `promote`, `doctor --fix`, `promote`",
            deleted_model,
        ),
        (
            "G",
            "an experiment was deleted in MLflow, then `train`, `doctor --fix`, `train`",
            deleted_experiment,
        ),
        ("G", "a join before and after the time of the data, `ingest --as-of 2026-01-31`", history),
        ("G", "`mlflow.pyfunc.load_model(…).predict(input_example)` of every model", pyfunc),
        ("H", "`related` and `status` by a user who may not write the home", read_only),
        ("H", "`ingest` on a disk of 1 MiB", full_disk),
        ("I", "a `model.pth` in place of a model's files, then `related --title`", planted),
        ("I", "images at `/etc/hostname`, `../`, a FIFO, `ftp://`, `127.0.0.1`", images),
        ("I", "a literal of 3,600 digits, one of 4 MiB, a title and categories without end", literals),
        ("I", "a password in `registry.url`, then `settings`", masked),
        ("I", "a title with terminal escapes in a row that is refused", escapes),
        ("I", "files of the home that others may read", rights),
    )


def make_home(home: Path) -> str:
    """Make a home with a live release and a second version; return a product in it."""
    generate(home.parent / "store", 200, seed=3, images=False)
    with twinvec.open(home, **BRIEF) as opened:
        opened.ingest(home.parent / "store")
        opened.run()
        product: str = opened.vectors("related").keys[0].as_py()
    # Without lists, which would take as long as all before them.
    with twinvec.open(home, **BRIEF, seed=1, ranking={"required": False}) as opened:
        version = opened.train("related")[-1].version
        assert version is not None
        opened.publish(version.name)
    return product


def copy(home: Path, target: Path) -> Path:
    """Copy a home with holes where its files are zero, as Qdrant Edge reserves them."""

    def sparse(source: str, to: str) -> str:
        files.copy_sparse(Path(source), Path(to))
        return to

    return Path(shutil.copytree(home, target, copy_function=sparse))


def run(home: Path, *arguments: str, **environment: str) -> Said:
    """Run the command in this process."""
    given = {**os.environ, **ENVIRONMENT, "TWINVEC_HOME": str(home), **environment}
    result = CliRunner().invoke(app, list(arguments), env=given)
    return Said(result.exit_code, result.stdout, result.stderr)


def contents(home: Path) -> dict[str, str]:
    """Return path → digest of the files of a home."""
    return {
        str(file.relative_to(home)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in home.rglob("*")
        if file.is_file()
    }


def moved(home: Path, product: str) -> str:
    """Ask a home that lies elsewhere than where it was made."""
    named = run(home, "doctor", "--json")
    said = [
        run(home, *command) for command in (["related", product], ["status"], ["doctor", "--fix"], ["doctor"])
    ]
    first = next(each for each in json.loads(named.out)["findings"] if each["store"] == "home")
    return f"`doctor` before: exit {named.status}, the home {first['what']}\n" + "; ".join(
        f"{name} {each.short()}"
        for name, each in zip(("`related`", "`status`", "`doctor --fix`", "`doctor`"), said, strict=True)
    )


def copied(home: Path, _product: str) -> str:
    """Write into a copy, and look at the home that it was copied from."""
    first = home.parents[1] / "made" / "home"
    before = contents(first)
    said = run(home, "train", "category", "--force")
    changed = len(set(before.items()) ^ set(contents(first).items()))
    return f"{said.short()}; files of the first home that changed: {changed}"


def feast_apply(home: Path, _product: str) -> str:
    """Let Feast's own command apply the folder that the README names."""
    run(home, "doctor", "--fix")

    def names() -> set[str]:
        store = FeatureStore(repo_path=str(home))
        views, services = store.list_feature_views(), store.list_feature_services()
        return {each.name for each in views} | {each.name for each in services}

    before = names()
    command = [str(Path(sys.executable).with_name("feast")), "apply"]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False)
    return f"exit {done.returncode}; {len(before)} views and services before, {len(before & names())} of them after"


def deleted_model(home: Path, _product: str) -> str:
    """Delete the model of the release that is to go live."""
    run(home, "doctor", "--fix")
    MlflowClient(f"sqlite:///{home}/mlflow.db").delete_model_version("related", "2")
    said = [
        run(home, *each)
        for each in (["promote", "2", "--force"], ["doctor", "--fix"], ["promote", "2", "--force"])
    ]
    return "\n".join(each.short() for each in said)


def deleted_experiment(home: Path, _product: str) -> str:
    """Delete the experiment of a space."""
    run(home, "doctor", "--fix")
    client = MlflowClient(f"sqlite:///{home}/mlflow.db")
    experiment = client.get_experiment_by_name("twinvec/category")
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    train = ["train", "category", "--force"]
    return "\n".join(run(home, *each).short() for each in (train, ["doctor", "--fix"], train))


def history(home: Path, _product: str) -> str:
    """Join rows before and after the time of a snapshot by Feast's own client."""
    source = home.parent / "shop"
    source.mkdir()
    (source / "orders.csv").write_text("order_id,product_id,price\n1,cup,3\n1,pot,9\n")
    fresh = home.with_name("fresh")
    said = run(fresh, "ingest", str(source), "--format", "orders", "--as-of", "2026-01-31")
    asked = pd.DataFrame(
        {"product_id": "cup", "event_timestamp": pd.to_datetime(["2026-01-30", "2026-02-01"], utc=True)}
    )
    store = FeatureStore(repo_path=str(fresh))
    found = store.get_historical_features(asked, ["products_history:price"]).to_df()
    before, after = found.sort_values("event_timestamp")["price"].astype(object).replace(np.nan, None)
    return f"{said.short()}; price on 30 January {before}, on 1 February {after}"


def pyfunc(home: Path, _product: str) -> str:
    """Load all registered models by MLflow's own client."""
    run(home, "doctor", "--fix")
    mlflow.set_tracking_uri(f"sqlite:///{home}/mlflow.db")
    answered = []
    for model in MlflowClient().search_registered_models():
        served = mlflow.pyfunc.load_model(f"models:/{model.name}/1")
        served.predict(served.input_example)
        answered.append(model.name)
    return f"answered: {', '.join(answered)}"


def read_only(home: Path, product: str) -> str:
    """Ask as somebody who may not write; root gives up its capabilities for that."""
    run(home, "doctor", "--fix")
    for entry in [home, *home.rglob("*")]:
        entry.chmod(entry.stat().st_mode & ~0o222)
    before = contents(home)
    unable = ["setpriv", "--bounding-set=-all"] if os.getuid() == 0 else []
    said = []
    for command in (["related", product], ["status"]):
        done = subprocess.run(
            [*unable, str(Path(sys.executable).with_name("twinvec")), *command],
            env={**os.environ, **ENVIRONMENT, "TWINVEC_HOME": str(home), "TMPDIR": str(home.parent)},
            capture_output=True,
            check=False,
        )
        said.append(f"`{command[0]}` exit {done.returncode}")
    for entry in [home, *home.rglob("*")]:
        entry.chmod(entry.stat().st_mode | 0o200)
    return f"{', '.join(said)}; files that changed: {len(set(before.items()) ^ set(contents(home).items()))}"


def full_disk(home: Path, _product: str) -> str:
    """Ingest where there is no room."""
    source, disk = home.parent / "orders.csv", home.parent / "disk"
    drawn = np.random.default_rng(1).integers(0, 20_000, 60_000)
    lines = [f"{row // 3},{product},title {row * 7919 % 60_000}" for row, product in enumerate(drawn)]
    source.write_text("\n".join(["order_id,product_id,title", *lines]) + "\n")
    disk.mkdir()
    command = (
        f'mount -t tmpfs -o size={SMALL_DISK} none "{disk}" && TWINVEC_HOME="{disk}/home" '
        f'"{Path(sys.executable).with_name("twinvec")}" ingest "{source}" --format orders; status=$?; '
        f'ls "{disk}/home/snapshots"; exit $status'
    )
    done = subprocess.run(["unshare", "-m", "sh", "-c", command], capture_output=True, text=True, check=False)
    if done.returncode == 1 and "error: " not in done.stderr:
        return "not tried: no right to mount a small disk"
    return (
        f"{Said(done.returncode, '', done.stderr).short()}; snapshots left behind: {len(done.stdout.split())}"
    )


class Planted:
    """Unpickling it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        """Return what is called when it is unpickled."""
        return Path.touch, (self.mark,)


def planted(home: Path, _product: str) -> str:
    """Put code where a model's files are."""
    import torch

    run(home, "doctor", "--fix")
    mark = home.parent / "was run"
    for model in (home / "mlartifacts" / "aligned" / "models").glob("*/artifacts"):
        torch.save(Planted(mark), model / "data" / "model.pth")
        (model / "data" / "pickle_module_info.txt").write_text("mlflow.pytorch.pickle_module")
    said = run(home, "related", "--title", "Blue Train")
    return f"{said.short()}; the code in it was run: {'yes' if mark.exists() else 'no'}"


def images(home: Path, _product: str) -> str:
    """Name images that are none."""
    source = home.parent / "shop"
    source.mkdir()
    (home.parent / "outside.png").write_bytes(b"")
    os.mkfifo(source / "pipe.png")
    named = {
        "a": "/etc/hostname",
        "b": "../outside.png",
        "c": "pipe.png",
        "d": "ftp://192.0.2.1/x.png",
        "e": "http://127.0.0.1/x.png",
    }
    orders = [f"1,{key},{image}" for key, image in named.items()]
    (source / "orders.csv").write_text("\n".join(["order_id,product_id,image", *orders]) + "\n")
    with twinvec.open(home.with_name("fresh")) as opened:
        snapshot = opened.ingest(source, "orders").snapshot
        options = ImageSettings(remote=True, timeout=2, attempts=1)
        reasons = {
            row["product_id"]: row["reason"]
            for batch in read_images(snapshot, options, 10)
            for row in batch.skipped.to_pylist()
        }
    return "\n".join(f"`{image}`: {reasons[key]}" for key, image in named.items())


def literals(home: Path, _product: str) -> str:
    """Ingest lines that are made to use up time and memory."""
    source = home.parent / "meta.json"
    lines = [repr({"asin": f"A{number}", "title": "a thing"}) for number in range(97)]
    lines.append("{'asin': 'B1', 'price': " + "9" * 3_600 + "}")
    lines.append("{'asin': 'B2', 'categories': [" + "['x']," * 690_000 + "]}")
    lines.append(
        repr({"asin": "B3", "title": "long " * 10_000, "categories": [[f"c{n}" for n in range(500)]]})
    )
    source.write_text("\n".join(lines) + "\n")
    with twinvec.open(home.with_name("fresh")) as opened:
        report = opened.ingest(source, "amazon-2014")
    counts = [
        f"{name}: " + ", ".join(f"{rows} × {why}" for why, rows in each["products"].items())
        for name, each in (("quarantined", report.quarantined), ("lost", report.lost))
        if each["products"]
    ]
    return f"{report.snapshot.tables['products']} products; " + "; ".join(counts)


def masked(home: Path, _product: str) -> str:
    """Show the settings of a home whose registry has a password."""
    url = "postgresql+psycopg://me:secret@db/twinvec"
    said = run(home, "settings", "--json", TWINVEC_REGISTRY__URL=url)
    return f"exit {said.status}: `{json.loads(said.out)['registry.url']['value']}`"


def escapes(home: Path, _product: str) -> str:
    """Print a row that would clear the screen, as an example of those that are refused."""
    source = home.parent / "meta.json"
    source.write_text("{'asin': 1.5, 'title': '\x1b[2Ja thing'}\n{'asin': 'A', 'title': '\x1b[2Ja thing'}\n")
    said = run(home.with_name("fresh"), "ingest", str(source), "--format", "amazon-2014")
    return f"{said.short()}; escapes on the terminal: {(said.out + said.errors).count(chr(27))}"


def rights(home: Path, product: str) -> str:
    """Count what others may read of a home that the command made."""
    source = home.parent / "shop"
    source.mkdir()
    (source / "orders.csv").write_text("order_id,product_id\n1,cup\n1,pot\n")
    fresh = home.with_name("fresh")
    said = run(fresh, "ingest", str(source), "--format", "orders")
    made = [fresh, *fresh.rglob("*")]
    return f"{said.short()}; {sum(bool(each.stat().st_mode & 0o077) for each in made)} of {len(made)}"

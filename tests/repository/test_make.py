from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

HOSTS = re.compile(r"https?://|\.(com|org|io|net)\b|--(extra-)?index|find-links [^-]", re.IGNORECASE)


@pytest.mark.parametrize("name", ["Makefile", ".ci/run", "requirements.txt", "pyproject.toml", "Dockerfile"])
def test_no_package_host_is_named(root: Path, name: str) -> None:
    lines = (root / name).read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if HOSTS.search(line)] == []


@pytest.fixture
def bare(root: Path, tmp_path: Path) -> Path:
    """The files set-up needs, in a folder without an environment."""
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(root / name, tmp_path)
    return tmp_path


def dry_run(folder: Path, target: str) -> str:
    command = ["make", "--dry-run", "--directory", str(folder), target]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("target", ["demo", "test", "lint"])
def test_each_target_sets_up_first_and_once(bare: Path, target: str) -> None:
    assert "uv pip install" in dry_run(bare, target)
    stamp = bare / ".venv" / ".installed"
    stamp.parent.mkdir()
    stamp.touch()
    assert "install" not in dry_run(bare, target)


def test_another_python_may_be_named(bare: Path) -> None:
    refused = subprocess.run(
        ["make", "--directory", str(bare), "setup", "PYTHON=no-such-python"], capture_output=True, text=True
    )
    assert refused.returncode != 0
    assert "no-such-python is not Python 3.11, 3.12 or 3.13" in refused.stderr
    assert "make PYTHON=/path/to/python3.11" in refused.stderr
    assert not (bare / ".venv").exists()


@pytest.mark.parametrize(
    ("installed", "used"),
    [
        (("3.11", "3.12", "3.13"), "python3.11"),
        (("3.12", "3.13"), "python3.12"),
        (("3.13",), "python3.13"),
        ((), "python3.11"),
    ],
)
def test_the_oldest_python_that_runs_is_used(
    bare: Path, installed: tuple[str, ...], used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A name on the path is not enough: pyenv puts one there for every version, and most of them refuse to run.
    folder = bare / "bin"
    folder.mkdir()
    for version in ("3.11", "3.12", "3.13"):
        runs = "exec echo python" + version if version in installed else "exit 127"
        script = folder / f"python{version}"
        script.write_text(f"#!/bin/sh\n{runs}\n")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.delenv("PYTHON", raising=False)
    assert f"{used} -m venv .venv" in dry_run(bare, "setup")


def test_an_old_python_is_refused(bare: Path) -> None:
    old = bare / "old-python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    command = ["make", "--directory", str(bare), "setup", f"PYTHON={old}"]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "is not Python 3.11, 3.12 or 3.13" in refused.stderr


def test_ci_stops_at_the_first_failure_and_keeps_the_last_line(root: Path, tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    script = Path(shutil.copy(root / ".ci" / "run", tmp_path / ".ci"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def run(lint: str) -> subprocess.CompletedProcess[str]:
        makefile = f"lint:\n\t@{lint}\ndocs:\n\t@true\ntest:\n\t@cat; echo '3 passed in 0.01s'\n"
        (tmp_path / "Makefile").write_text(makefile)
        return subprocess.run([str(script)], cwd=elsewhere, capture_output=True, text=True, timeout=60)

    passed = run("true")
    assert passed.returncode == 0
    assert passed.stdout.splitlines()[-1] == "3 passed in 0.01s"
    failed = run("false")
    assert failed.returncode != 0
    assert "passed" not in failed.stdout

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

SECRETS = re.compile(r"PASSWORD|KEY|SECRET|TOKEN")
DEFAULTS = re.compile(r"\$\{[A-Z_]+:-([^}]*)\}")
REQUIRED = re.compile(r"\$\{[A-Z0-9_]+:\?[^}]+\}")


@pytest.fixture(scope="module")
def compose(root: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((root / "docker-compose.yml").read_text(encoding="utf-8"))
    return document


@pytest.fixture(params=["qdrant", "postgres", "mlflow", "api"])
def service(request: pytest.FixtureRequest, compose: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = compose["services"][request.param]
    return found


def test_every_service_is_tested(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {"qdrant", "postgres", "mlflow", "api", "command"}


def test_images_are_pinned(service: dict[str, Any], root: Path) -> None:
    _, tag = service["image"].rsplit(":", 1)
    assert re.match(r"v?\d+\.\d+", tag)
    if "build" in service:
        assert tag == tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]


def test_the_qdrant_server_is_the_client_s_version(compose: dict[str, Any]) -> None:
    _, tag = compose["services"]["qdrant"]["image"].split(":v")
    assert tag.split(".")[:2] == version("qdrant-client").split(".")[:2]


def test_health_checks_say_when_to_give_up(service: dict[str, Any]) -> None:
    check = service["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries"} <= check.keys()
    assert service["restart"] == "unless-stopped"


def test_a_stack_without_a_release_becomes_healthy(compose: dict[str, Any]) -> None:
    assert compose["services"]["api"]["healthcheck"]["test"][-1].count("/health") == 1


def test_data_is_kept_in_named_volumes(service: dict[str, Any], compose: dict[str, Any]) -> None:
    names = {volume.split(":")[0] for volume in service["volumes"]}
    assert names
    assert names <= set(compose["volumes"])


def test_stores_are_not_open_to_the_network(compose: dict[str, Any]) -> None:
    for name in ("qdrant", "postgres", "mlflow"):
        assert all(port.startswith("127.0.0.1:") for port in compose["services"][name]["ports"])


def test_the_api_is_open_to_this_machine_only_and_reads(compose: dict[str, Any]) -> None:
    api, command = (compose["services"][name] for name in ("api", "command"))
    assert api["ports"] == ["${API_ADDRESS:-127.0.0.1}:${API_PORT:-8000}:8000"]
    assert "READ_ONLY" in api["environment"]["TWINVEC_QDRANT__API_KEY"]
    assert "READ_ONLY" not in command["environment"]["TWINVEC_QDRANT__API_KEY"]
    assert (command["profiles"], command["ports"]) == (["command"], [])


def test_the_image_has_no_tools_of_the_tests(root: Path) -> None:
    dockerfile = (root / "Dockerfile").read_text(encoding="utf-8")
    assert "--requirement" not in dockerfile
    assert "--constraint requirements.txt --editable ." in dockerfile


def test_credentials_come_from_the_environment(service: dict[str, Any]) -> None:
    for variable, value in service["environment"].items():
        if (SECRETS.search(variable) and not variable.endswith("_PATH")) or re.search(r"://[^/]*@", value):
            assert REQUIRED.search(value), f"{variable} must be given, and have no default"
        if "@" in value:
            assert re.fullmatch(rf"[a-z+]+://([a-z]+):{REQUIRED.pattern}@postgres:5432/\1\?sslmode=.*", value)


def test_dependencies_are_waited_for(service: dict[str, Any], compose: dict[str, Any]) -> None:
    for name, condition in service.get("depends_on", {}).items():
        assert condition == {"condition": "service_healthy"}
        assert name in compose["services"]


def test_every_database_is_created(compose: dict[str, Any]) -> None:
    created = set(re.findall(r"CREATE DATABASE (\w+) OWNER \1;", compose["configs"]["databases"]["content"]))
    environments = [service["environment"] for service in compose["services"].values()]
    used = set(re.findall(r"@postgres:5432/(\w+)", str(environments)))
    used.add(compose["services"]["api"]["environment"]["FEAST_POSTGRES_DATABASE"])
    assert used == created


def test_the_example_names_what_is_required(root: Path) -> None:
    text = (root / "docker-compose.yml").read_text(encoding="utf-8")
    example = (root / ".env.example").read_text(encoding="utf-8")
    given = dict(re.findall(r"^([A-Z0-9_]+)=(.*)$", example, flags=re.MULTILINE))
    assert set(given) == set(re.findall(r"\$\{([A-Z0-9_]+)", text))
    assert not any(given[variable] for variable in re.findall(r"\$\{([A-Z0-9_]+):\?", text))


def test_the_settings_are_settings(compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from twinvec.settings import load_settings

    for variable, value in compose["services"]["api"]["environment"].items():
        digest = "0" * 64 if "API_KEY_SHA256" in value else "secret"
        monkeypatch.setenv(variable, DEFAULTS.sub(r"\1", REQUIRED.sub(digest, value)))
    settings = load_settings()
    assert settings.registry_url() == (
        "postgresql+psycopg://registry:secret@postgres:5432/registry?sslmode=disable"
    )
    assert settings.serving.keys["first"].scope == "operator"
    assert settings.qdrant.url == "http://qdrant:6333"


def test_the_feature_store_gets_its_variables(compose: dict[str, Any], root: Path) -> None:
    environment = compose["services"]["api"]["environment"]
    config = root / Path(environment["TWINVEC_FEAST__CONFIG"]).relative_to("/app")
    assert set(re.findall(r"\$\{(\w+)\}", config.read_text(encoding="utf-8"))) <= set(environment)


def test_the_images_copy_what_is_there(root: Path) -> None:
    dockerfile = (root / "Dockerfile").read_text(encoding="utf-8")
    copied = [
        name for line in re.findall(r"^COPY (.+) \S+$", dockerfile, re.MULTILINE) for name in line.split()
    ]
    assert copied
    assert all((root / name).exists() for name in copied)
    allowed = (root / ".dockerignore").read_text(encoding="utf-8")
    assert all(f"!{name}\n" in allowed for name in copied)
    assert dockerfile.count("USER twinvec") == 2


def test_docker_accepts_the_file(root: Path) -> None:
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode
    ):
        pytest.skip("docker compose is not installed")
    command = ["docker", "compose", "--env-file", "/dev/null", "config", "--quiet"]
    text = (root / "docker-compose.yml").read_text(encoding="utf-8")
    required = re.findall(r"\$\{([A-Z0-9_]+):\?", text)
    given = {**os.environ, **dict.fromkeys(required, "secret")}
    subprocess.run(command, cwd=root, env=given, check=True)
    missing = {**given, "POSTGRES_PASSWORD": ""}
    refused = subprocess.run(command, cwd=root, env=missing, capture_output=True, text=True)
    assert refused.returncode != 0
    assert ".env.example" in refused.stderr

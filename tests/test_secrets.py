"""Passwords and keys inside URLs are printed nowhere."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from pipelines.command import app
from twinvec.doctor import Finding
from twinvec.secrets import MASK, masked_urls

secrets = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\"'`<>&;#"), min_size=8
)
users = st.text("abcxyz019-_.", max_size=6)


@given(users, secrets)
def test_a_password_is_masked(user: str, secret: str) -> None:
    # As it is often written, and as it should be.
    for written in (secret, quote(secret, safe="")):
        shown = masked_urls(
            f"cannot reach postgresql+psycopg://{user}:{written}@db.example:5432/shop?k=1 now"
        )
        assert shown == f"cannot reach postgresql+psycopg://{user}:{MASK}@db.example:5432/shop?k=1 now"
    assert masked_urls(f"https://{quote(secret, safe='')}@shop.example") == f"https://{MASK}@shop.example"


@given(
    st.sampled_from(["api_key", "token", "password", "X-Amz-Signature", "access_token", "secret"]), secrets
)
def test_a_key_is_masked(name: str, secret: str) -> None:
    assert masked_urls(f"https://a.example/?k=3&{name}={quote(secret)}&l=4") == (
        f"https://a.example/?k=3&{name}={MASK}&l=4"
    )


@pytest.mark.parametrize(
    "text",
    [
        "https://shop.example:6333/a?k=3",
        "a@b.example",
        "text@v3 of sqlite:////home/me/registry.db",
    ],
)
def test_the_rest_stays(text: str) -> None:
    assert masked_urls(text) == text


def test_no_setting_shows_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = "hunter2-/x"
    for name in ("QDRANT__URL", "REGISTRY__URL", "MLFLOW__TRACKING_URI"):
        monkeypatch.setenv(f"TWINVEC_{name}", f"https://me:{hidden}@shop.example/?api_key={hidden}")
    for arguments in (["settings"], ["settings", "--json"]):
        told = CliRunner().invoke(app, arguments)
        assert told.exit_code == 0, told.output
        assert hidden not in told.output.replace("\n", "")
    values = json.loads(told.stdout)
    assert values["qdrant.url"]["value"] == f"https://me:{MASK}@shop.example/?api_key={MASK}"


def test_no_finding_and_no_error_shows_a_password(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    found = Finding("Qdrant", "a", "is not there", "curl -X DELETE https://me:hidden@shop.example/a")
    monkeypatch.setattr("twinvec.doctor.diagnose", lambda *_: [found])
    monkeypatch.setenv("TWINVEC_HOME", str(tmp_path))
    for arguments in (["doctor"], ["doctor", "--json"]):
        assert "hidden" not in CliRunner().invoke(app, arguments).output

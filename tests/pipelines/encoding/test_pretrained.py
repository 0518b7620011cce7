import logging
import socket
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from huggingface_hub import constants, is_offline_mode
from transformers import AutoModel, BertConfig, BertModel
from transformers.utils import logging as loggers

from pipelines.encoding import pretrained
from pipelines.encoding.pretrained import load_pretrained, quiet_about_unread_weights
from twinvec.errors import SettingsError


def missing() -> object:
    raise OSError("no such file in the cache\nand a long explanation")


def test_what_is_on_this_machine_is_loaded_without_the_network() -> None:
    assert load_pretrained("text.model", "name", is_offline_mode, "use another") is True
    assert not is_offline_mode()


def test_a_hub_that_does_not_answer_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(pretrained, "SECONDS_TO_ANSWER", 0.3)
        started = time.perf_counter()
        with pytest.raises(SettingsError, match="cannot be reached") as caught:
            load_pretrained("image.model", "timm:x", missing, "use another")
    assert time.perf_counter() - started < 5
    assert "image.model is 'timm:x'" in caught.value.message
    assert "use another" in caught.value.hint


def test_offline_mode_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(SettingsError, match="HF_HUB_OFFLINE"):
        load_pretrained("text.model", "name", missing, "use another")
    assert constants.HF_HUB_OFFLINE


def test_a_name_the_hub_does_not_know_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as hub:  # answers 501 to everything
        Thread(target=hub.handle_request).start()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{hub.server_port}")
        with pytest.raises(SettingsError) as caught:
            load_pretrained("text.model", "name", missing, "use another")
    assert caught.value.message == "text.model is 'name', which cannot be loaded: no such file in the cache"


def test_only_weights_that_are_missing_or_do_not_fit_are_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    BertModel(
        BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, vocab_size=9)
    ).save_pretrained(tmp_path)
    verbosity = loggers.get_verbosity()
    loggers.set_verbosity(logging.WARNING)  # a training in this process may have lowered it
    loggers.enable_propagation()
    try:
        with quiet_about_unread_weights():
            AutoModel.from_pretrained(tmp_path, add_pooling_layer=False)
            assert not caplog.records, "the file's pooler is not read"
            AutoModel.from_pretrained(tmp_path, num_hidden_layers=2)
        assert "MISSING" in caplog.text, "the second layer is drawn at random"
        caplog.clear()
        AutoModel.from_pretrained(tmp_path, add_pooling_layer=False)
        assert "UNEXPECTED" in caplog.text, "the library's own report is as before"
    finally:
        loggers.disable_propagation()
        loggers.set_verbosity(verbosity)

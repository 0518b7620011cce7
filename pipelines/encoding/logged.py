"""An encoder is logged to MLflow once, however many versions it makes."""

from __future__ import annotations

from collections.abc import Callable

from mlflow import MlflowClient

from twinvec import digest

TAG = "twinvec.encoder"


def log_once(space: str, model: str, preprocessing: str, log: Callable[[], str]) -> str:
    """The URI of the registered encoder with these digests; `log` is called if there is none yet.

    A pretrained encoder is tens or hundreds of megabytes that do not change from one catalogue to the next: versions
    it made share one registered model, found by a tag. Called within a run, whose tracking store is used.

    Args:
        space: name of the registered model.
        model: digest of the weights.
        preprocessing: digest of what is done before them.
        log: logs and registers the encoder under `space`, and gives its URI, `models:/<space>/<number>`.
    """
    mark = digest.of_json({"model": model, "preprocessing": preprocessing})
    client = MlflowClient()
    known = client.search_model_versions(f"name = '{space}' and tags.`{TAG}` = '{mark}'")
    if known:
        return f"models:/{space}/{max(int(version.version) for version in known)}"
    uri = log()
    # Tagged last: one whose upload was cut short is not found, and logged again.
    client.set_model_version_tag(space, uri.rpartition("/")[2], TAG, mark)
    return uri

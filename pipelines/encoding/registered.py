"""Registration of encoders in MLflow: once for each encoder, however many versions it makes."""

from __future__ import annotations

from collections.abc import Callable

from mlflow import MlflowClient

from twinvec import digest

TAG = "twinvec.encoder"


def log_once(space: str, model: str, preprocessing: str, log: Callable[[], str]) -> str:
    """Return the URI of the registered encoder with these digests; call `log` if there is none yet.

    A pretrained encoder has tens or hundreds of megabytes that do not change from one catalogue to the next. So the
    versions it makes share one registered model, which a tag identifies. Call it within a run, whose tracking store is
    used.

    Args:
        space: Name of the registered model.
        model: Digest of the weights.
        preprocessing: Digest of the preprocessing.
        log: Log and register the encoder under `space`, and return its URI, `models:/<space>/<number>`.
    """
    mark = digest.of_json({"model": model, "preprocessing": preprocessing})
    client = MlflowClient()
    registered = client.search_model_versions(f"name = '{space}' and tags.`{TAG}` = '{mark}'")
    if registered:
        return f"models:/{space}/{max(int(version.version) for version in registered)}"
    uri = log()
    # Tagged last: an interrupted upload has no tag, and the encoder is logged again.
    client.set_model_version_tag(space, uri.rpartition("/")[2], TAG, mark)
    return uri

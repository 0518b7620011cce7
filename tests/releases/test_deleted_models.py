"""A switch between releases whose models were deleted in MLflow."""

from __future__ import annotations

from typing import Any

import pytest
from mlflow import MlflowClient

from tests.releases.standing import NAME, agreed, standing, unfinished
from twinvec import releases
from twinvec.doctor import mend
from twinvec.errors import StateError, StoreError
from twinvec.releases import promotion, stores
from twinvec.tracking.store import use_experiment
from twinvec.workspace import Workspace


def test_a_release_whose_model_was_deleted_does_not_begin_to_go_live(served: Workspace) -> None:
    before = standing(served)
    client = MlflowClient(served.settings.tracking_uri())
    client.delete_model_version("related", "2")
    with pytest.raises(
        StateError, match=r"v2 cannot go live: models:/related/2, the model of related@v2"
    ) as told:
        releases.promote(served, releases.find(served, "2"), force=True)
    assert "doctor --fix" in told.value.hint
    assert (standing(served), unfinished(served)) == (before, False)

    mended = mend(served.settings)
    assert [finding.where for finding in mended.mended] == ["related@v2"]
    assert mended.left == []
    again = served.version("related@v2")
    assert again.model_uri == "models:/related/3"
    assert (
        releases.promote(served, releases.find(served, "2"), force=True).version.model_uri == again.model_uri
    )
    assert standing(served)["related live"] == "models:/related/3"


@pytest.mark.parametrize("moved", [True, False])
def test_a_switch_ends_though_a_model_was_deleted_meanwhile(
    served: Workspace, moved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the alias is at the new release, it is finished, else undone."""

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(stores, "set_alias", crash)
        patched.setattr(promotion, "finish_or_undo", crash)
        with pytest.raises(KeyboardInterrupt):
            releases.promote(served, releases.find(served, "2"), force=True)
    assert unfinished(served)
    if moved:
        served.index.switch_alias(NAME, f"{NAME}__v2")
    client = MlflowClient(served.settings.tracking_uri())
    for number in ("1", "2"):
        client.delete_model_version("related", number)
    assert releases.settle(served) is not None
    assert not unfinished(served)
    assert agreed(served) == f"{NAME}__v{2 if moved else 1}"
    assert standing(served)["related live"] is None
    mended = mend(served.settings)
    assert (mended.left, mended.refused) == ([], [])
    assert standing(served)["related live"] is not None


def test_a_deleted_experiment_is_named_and_restored(served: Workspace) -> None:
    client = MlflowClient(served.settings.tracking_uri())
    experiment = client.get_experiment_by_name("twinvec/related")
    assert experiment is not None
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    client.delete_experiment(experiment.experiment_id)
    with pytest.raises(StoreError, match="twinvec/related was deleted in MLflow"):
        use_experiment(served.settings, "related")
    found = {finding.where: finding.what for finding in mend(served.settings).mended}
    assert found.keys() == {"related@v1", "related@v2"}
    assert all("which was deleted" in what for what in found.values())
    assert client.get_experiment(experiment.experiment_id).lifecycle_stage == "active"
    use_experiment(served.settings, "related")

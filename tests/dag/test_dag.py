"""Which stages run and which do not, with tiny pipelines in place of the real ones."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType

import pytest

from twinvec import dag
from twinvec.catalogue.snapshot import Snapshot
from twinvec.dag import STAGES, Stage, Step
from twinvec.errors import NotFoundError, StateError
from twinvec.settings import AlignedSettings, Settings, TextSettings
from twinvec.stage import Inputs, Outcome, Progress
from twinvec.tracking import Run
from twinvec.workspace import Workspace

IngestProducts = Callable[[Workspace, Path, list[str]], Snapshot]
TINY = (
    Stage("text", "tiny.text", settings=("text",)),
    Stage("image", "tiny.image", settings=("image",)),
    Stage("aligned", "tiny.aligned", needs=("text",), uses=("image",), settings=("aligned",)),
    Stage("related", "tiny.related", needs=("aligned",)),
)
EVERYTHING = ["text", "image", "aligned", "related"]


@dataclass
class Tiny:
    """What the tiny pipelines are to do, and what they were asked.

    Attributes:
        skip: space → why it does not apply.
        weights: space → what stands for its trained weights, if not its settings.
        broken: spaces whose training fails.
        trained: space and the versions it was given, of each training.
    """

    skip: dict[str, str] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    trained: list[tuple[str, list[str]]] = field(default_factory=list)

    def stage(self, stage: Stage) -> Stage:
        return replace(stage, reason_to_skip=lambda _snapshot, _settings: self.skip.get(stage.space))

    def module(self, stage: Stage) -> ModuleType:
        def train(inputs: Inputs, run: Run, progress: Progress) -> Outcome:
            progress("hello")
            self.trained.append((stage.space, [version.name for version in inputs.versions.values()]))
            if stage.space in self.broken:
                raise RuntimeError("it broke")
            weights = self.weights.get(stage.space, str(stage.parameters(inputs.settings)))
            return Outcome((), {}, "dot", False, weights, "p")  # no vectors, which only take time here

        module = ModuleType(stage.module)
        vars(module)["train"] = train
        return module


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Tiny:
    tiny = Tiny()
    monkeypatch.setattr(dag, "STAGES", tuple(map(tiny.stage, TINY)))
    for stage in TINY:
        monkeypatch.setitem(sys.modules, stage.module, tiny.module(stage))
    return tiny


def names(steps: list[Step]) -> dict[str, str | None]:
    return {step.space: step.version and step.version.name for step in steps}


def stale(workspace: Workspace, snapshot: Snapshot) -> list[str]:
    return [stage.space for stage in dag.standing(workspace, snapshot) if stage.stale]


def made(workspace: Workspace, snapshot: Snapshot) -> list[str]:
    """Run the road; what was made is what `standing` said would be, and nothing is stale after."""
    expected = stale(workspace, snapshot)
    found = [step.space for step in dag.run(workspace, snapshot) if step.made]
    assert found == expected
    assert stale(workspace, snapshot) == []
    return found


def with_settings(workspace: Workspace, **changes: object) -> Workspace:
    return Workspace(workspace.settings.model_copy(update=changes))


def test_each_stage_runs_once(tiny: Tiny, workspace: Workspace, snapshot: Snapshot) -> None:
    heard: list[str] = []
    before = dag.standing(workspace, snapshot)
    assert [(each.version, each.stale, each.reason) for each in before] == [(None, True, "not made yet")] * 4
    steps = dag.run(workspace, snapshot, progress=heard.append)
    assert names(steps) == {space: f"{space}@v1" for space in EVERYTHING}
    assert {(step.made, step.reason) for step in steps} == {(True, "made")}
    assert tiny.trained == [
        ("text", []),
        ("image", []),
        ("aligned", ["text@v1", "image@v1"]),
        ("related", ["aligned@v1"]),
    ]
    assert heard[:2] == ["text: training", "text: hello"]

    again = dag.run(workspace, snapshot)
    assert names(again) == names(steps)
    assert {(step.made, step.seconds, step.reason) for step in again} == {(False, 0.0, "up to date")}
    after = dag.standing(workspace, snapshot)
    assert [each.version and each.version.name for each in after] == list(names(steps).values())
    assert {(each.stale, each.reason) for each in after} == {(False, "up to date")}
    assert len(tiny.trained) == 4


def test_a_setting_makes_stale_what_depends_on_it(
    tiny: Tiny, workspace: Workspace, snapshot: Snapshot
) -> None:
    assert made(workspace, snapshot) == EVERYTHING
    text = with_settings(workspace, text=TextSettings(max_length=32))
    reasons = {stage.space: stage.reason for stage in dag.standing(text, snapshot) if stage.stale}
    assert reasons == dict.fromkeys(["text", "aligned", "related"], "snapshot, settings or inputs changed")
    assert made(text, snapshot) == ["text", "aligned", "related"]
    assert made(with_settings(text, aligned=AlignedSettings(epochs=2)), snapshot) == ["aligned", "related"]
    assert made(with_settings(text, seed=5), snapshot) == EVERYTHING
    # What decides nothing makes nothing stale, and going back finds what was made before.
    assert made(with_settings(text, device="cpu", release="other"), snapshot) == []
    assert made(workspace, snapshot) == []
    assert names(dag.run(workspace, snapshot)) == {space: f"{space}@v1" for space in EVERYTHING}


def test_a_new_snapshot_and_new_code_make_everything_stale(
    tiny: Tiny,
    workspace: Workspace,
    snapshot: Snapshot,
    ingest_products: IngestProducts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert made(workspace, snapshot) == EVERYTHING
    other = ingest_products(workspace, tmp_path / "other", ["a", "b", "c", "d"])
    assert made(workspace, other) == EVERYTHING
    assert made(workspace, snapshot) == []
    tiny.weights["aligned"] = "of the newer code"
    newer = tuple(replace(stage, revision=2) if stage.space == "aligned" else stage for stage in TINY)
    monkeypatch.setattr(dag, "STAGES", newer)
    assert made(workspace, other) == ["aligned", "related"]


def test_an_input_counts_by_what_it_is_not_by_its_number(
    tiny: Tiny, workspace: Workspace, snapshot: Snapshot
) -> None:
    assert made(workspace, snapshot) == EVERYTHING
    same = dag.run(workspace, snapshot, {"text"}, force=True)
    assert [(step.version and step.version.name, step.reason) for step in same] == [("text@v2", "forced")]
    assert made(workspace, snapshot) == []
    tiny.weights["text"] = "other weights"
    dag.run(workspace, snapshot, {"text"}, force=True)
    assert made(workspace, snapshot) == ["aligned", "related"]
    assert tiny.trained[-2:] == [("aligned", ["text@v3", "image@v1"]), ("related", ["aligned@v2"])]


def test_force_is_for_what_was_asked_and_needs_run_only_if_stale(
    tiny: Tiny, workspace: Workspace, snapshot: Snapshot
) -> None:
    steps = dag.run(workspace, snapshot, ["aligned"])
    assert names(steps) == {"text": "text@v1", "image": "image@v1", "aligned": "aligned@v1"}
    forced = dag.run(workspace, snapshot, ["aligned"], force=True)
    assert [(step.space, step.made) for step in forced] == [
        ("text", False), ("image", False), ("aligned", True),
    ]  # fmt: skip
    assert names(dag.run(workspace, snapshot, force=True)) == {
        "text": "text@v2",
        "image": "image@v2",
        "aligned": "aligned@v3",
        "related": "related@v1",
    }


def test_a_failed_stage_is_made_again_under_the_next_number(
    tiny: Tiny, workspace: Workspace, snapshot: Snapshot
) -> None:
    tiny.broken.add("aligned")
    for number in (1, 2):
        with pytest.raises(RuntimeError, match="it broke"):
            dag.run(workspace, snapshot)
        with pytest.raises(StateError, match=f"aligned@v{number} is failed: RuntimeError: it broke"):
            workspace.version(f"aligned@v{number}")
        assert stale(workspace, snapshot) == ["aligned", "related"]
    tiny.broken.clear()
    steps = dag.run(workspace, snapshot)
    assert [(step.version and step.version.name, step.made) for step in steps] == [
        ("text@v1", False),
        ("image@v1", False),
        ("aligned@v3", True),
        ("related@v1", True),
    ]


def test_a_stage_that_does_not_apply_is_skipped_and_so_is_what_needs_it(
    tiny: Tiny, workspace: Workspace, snapshot: Snapshot
) -> None:
    tiny.skip["image"] = "no product has an image"
    steps = dag.run(workspace, snapshot)
    assert names(steps) == {
        "text": "text@v1",
        "image": None,
        "aligned": "aligned@v1",
        "related": "related@v1",
    }
    assert steps[1].reason == "skipped: no product has an image"
    assert tiny.trained[1] == ("aligned", ["text@v1"])
    image = dag.standing(workspace, snapshot)[1]
    assert (image.version, image.stale, image.reason) == (None, False, "skipped: no product has an image")
    assert made(workspace, snapshot) == []
    del tiny.skip["image"]
    assert made(workspace, snapshot) == ["image", "aligned", "related"]

    tiny.skip["text"] = "no product has a title"
    steps = dag.run(with_settings(workspace, seed=9), snapshot)
    assert [(step.space, step.reason) for step in steps if not step.made] == [
        ("text", "skipped: no product has a title"),
        ("aligned", "skipped: there is no version of text"),
        ("related", "skipped: there is no version of aligned"),
    ]


def test_a_given_version_takes_the_place_of_the_stages_own(
    tiny: Tiny, workspace: Workspace, snapshot: Snapshot
) -> None:
    dag.run(workspace, snapshot)
    tiny.weights["text"] = "other weights"
    dag.run(workspace, snapshot, {"text"}, force=True)
    first, second = (workspace.version(f"text@v{number}") for number in (1, 2))
    steps = dag.run(workspace, snapshot, {"aligned"}, given={"text": second})
    assert names(steps) == {"image": "image@v1", "aligned": "aligned@v2"}
    assert [parent.name for parent in workspace.version("aligned@v2").inputs] == ["image@v1", "text@v2"]
    back = dag.run(workspace, snapshot, {"aligned"}, given={"text": first})
    assert names(back) == {"image": "image@v1", "aligned": "aligned@v1"}


def test_what_only_a_given_version_needs_is_not_run(
    tiny: Tiny, workspace: Workspace, snapshot: Snapshot
) -> None:
    dag.run(workspace, snapshot)
    changed = with_settings(workspace, seed=1)
    steps = dag.run(changed, snapshot, {"related"}, given={"aligned": workspace.version("aligned@v1")})
    assert names(steps) == {"related": "related@v2"}
    assert tiny.trained[-1] == ("related", ["aligned@v1"])


def test_an_unknown_space_is_refused_before_anything_is_run(
    tiny: Tiny, workspace: Workspace, snapshot: Snapshot
) -> None:
    with pytest.raises(NotFoundError, match=r"no space 'texts'\n.*text, image, aligned, related"):
        dag.run(workspace, snapshot, ["text", "texts"])
    assert tiny.trained == []


def test_the_real_stages_are_in_order_and_name_real_settings() -> None:
    seen: set[str] = set()
    for stage in STAGES:
        assert set(stage.inputs) <= seen, "a stage reads what comes before it"
        seen.add(stage.space)
        assert set(stage.settings) <= set(Settings.model_fields)
        assert {*stage.settings, "seed"} == set(stage.parameters(Settings()))
        assert stage.settings
        assert importlib.util.find_spec(stage.module) is not None
        assert dag.find_stage(stage.space) is stage
    assert len(seen) == len(STAGES)

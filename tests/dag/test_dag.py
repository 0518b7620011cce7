"""Which stages run and which do not, with tiny pipelines in place of the real ones."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType

import pytest

from registry.database import transaction
from twinvec import dag
from twinvec.catalogue.snapshot import Snapshot
from twinvec.dag import Step
from twinvec.errors import NotFoundError, StateError
from twinvec.plugins import load_reference
from twinvec.progress import Progress
from twinvec.settings import AlignedSettings, Settings, TextSettings
from twinvec.spaces import Field, Space, all_spaces, spaces, stage_of
from twinvec.stage import Inputs, Outcome, fingerprint
from twinvec.tracking import Run
from twinvec.workspace import Workspace

IngestProducts = Callable[[Workspace, Path, list[str]], Snapshot]
Declare = Callable[[Iterable[Space]], None]


def tiny_space(name: str, needs: tuple[str, ...] = (), uses: tuple[str, ...] = ()) -> Space:
    return Space(
        name,
        f"tiny.{name}:train",
        needs=needs,
        uses=uses,
        settings=(name,) if name != "related" else (),
        reason_to_skip=f"tiny.{name}:reason_to_skip",
    )


TINY = (
    tiny_space("text"),
    tiny_space("image"),
    tiny_space("aligned", ("text",), ("image",)),
    tiny_space("related", ("aligned",)),
)
EVERYTHING = ["text", "image", "aligned", "related"]


@dataclass
class Tiny:
    """Orders to the tiny pipelines, and the calls they got.

    Attributes:
        skip: Space → why it does not apply.
        weights: Space → what stands for its trained weights, if not its settings.
        broken: Spaces whose training fails.
        trained: Space and the versions it was given, of each training.
    """

    skip: dict[str, str] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    trained: list[tuple[str, list[str]]] = field(default_factory=list)

    def module(self, space: Space) -> ModuleType:
        def train(inputs: Inputs, run: Run, progress: Progress) -> Outcome:
            progress("hello")
            self.trained.append((space.name, [version.name for version in inputs.versions.values()]))
            if space.name in self.broken:
                raise RuntimeError("it broke")
            weights = self.weights.get(space.name, str(dag.parameters(space, inputs.settings)))
            return Outcome((), {}, "dot", False, weights, "p")  # no vectors, which only take time here

        module = ModuleType(f"tiny.{space.name}")
        vars(module)["train"] = train
        vars(module)["reason_to_skip"] = lambda _snapshot, _settings: self.skip.get(space.name)
        return module


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, declare: Declare) -> Tiny:
    tiny = Tiny()
    declare(TINY)
    for space in TINY:
        monkeypatch.setitem(sys.modules, f"tiny.{space.name}", tiny.module(space))
    return tiny


def names(steps: list[Step]) -> dict[str, str | None]:
    return {step.space: step.version.name if step.version else None for step in steps}


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
    assert reasons == {
        "text": f"settings changed: text.max_length was {TextSettings().max_length}, is 32",
        "aligned": "text would be made again",
        "related": "aligned would be made again",
    }
    dag.run(text, snapshot, ["text"])
    reasons = {stage.space: stage.reason for stage in dag.standing(text, snapshot) if stage.stale}
    assert reasons == {"aligned": "made before text@v2", "related": "aligned would be made again"}
    assert made(text, snapshot) == ["aligned", "related"]
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
    declare: Declare,
) -> None:
    assert made(workspace, snapshot) == EVERYTHING
    other = ingest_products(workspace, tmp_path / "other", ["a", "b", "c", "d"])
    assert made(workspace, other) == EVERYTHING
    assert made(workspace, snapshot) == []
    tiny.weights["aligned"] = "of the newer code"
    declare(replace(space, revision=2) if space.name == "aligned" else space for space in TINY)
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


def test_a_version_of_another_snapshot_is_refused(
    tiny: Tiny, workspace: Workspace, snapshot: Snapshot, ingest_products: IngestProducts, tmp_path: Path
) -> None:
    dag.run(workspace, snapshot)
    other = ingest_products(workspace, tmp_path / "other", ["a", "b", "c", "d"])
    text = workspace.version("text@v1")
    with pytest.raises(StateError, match=f"made from snapshot {snapshot.id}, not from {other.id}"):
        dag.run(workspace, other, {"aligned"}, given={"text": text})
    assert len(tiny.trained) == 4


def test_versions_fingerprinted_with_operational_settings_stay_usable(
    tiny: Tiny, workspace: Workspace, snapshot: Snapshot
) -> None:
    (step,) = dag.run(workspace, snapshot, {"text"})
    assert step.version is not None
    values = {"text": workspace.settings.text.deciding_as_before(), "seed": workspace.settings.seed}
    assert values != dag.parameters(TINY[0], workspace.settings)
    with transaction(workspace.engine) as session:
        row = session.merge(step.version)
        row.fingerprint = fingerprint("text", snapshot.id, {}, values, 1)
    assert dag.run(workspace, snapshot, {"text"})[0].made is False
    # What is operational makes nothing anew.
    batched = with_settings(workspace, text=workspace.settings.text.model_copy(update={"batch": 7}))
    assert "text" in stale(batched, snapshot)
    again = dag.run(batched, snapshot, {"text"})[0]
    assert again.made is True
    assert dag.run(workspace, snapshot, {"text"})[0].made is False


def test_the_installed_spaces_are_in_order_and_name_what_exists() -> None:
    seen: set[str] = set()
    for space in spaces():
        assert set(space.inputs) <= seen, "a space reads what comes before it"
        seen |= {made.name for made in space.outcomes}
        assert set(space.settings) <= set(Settings.model_fields)
        assert {*space.settings, "seed"} == set(dag.parameters(space, Settings()))
        serving = space.serving
        references = [space.train, space.reason_to_skip, space.encoder]
        if serving is not None:
            references += [serving.judge, serving.cold_start, serving.evaluate]
            fields = {Field(made.name, name) for made in space.outcomes for name in made.fields}
            assert {name for name in (serving.asks, serving.searched) if name is not None} <= fields
        references += [space.update.function if space.update is not None else None]
        assert all(callable(load_reference(each)) for each in references if each)
        assert all(stage_of(made.name) is space for made in space.outcomes)
    assert len(seen) == len(all_spaces())


def test_spaces_that_read_each_other_are_refused(declare: Declare) -> None:
    declare([tiny_space("text", ("image",)), tiny_space("image", ("text",))])
    with pytest.raises(StateError, match="in a circle: image → text → image"):
        spaces()

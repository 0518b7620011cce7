"""Report of an update: its changes, and the staleness of the models that it used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pipelines.update.changes import Changes, find_changes
from pipelines.update.live import Live
from registry.models import Version, utc_now
from twinvec.catalogue.snapshot import Snapshot
from twinvec.settings import Settings
from twinvec.settings.update import UpdateSettings

DAY = 86_400


@dataclass(frozen=True)
class Staleness:
    """Difference between a snapshot and the one that the models were trained on.

    Attributes:
        model: Version that was trained.
        trained_at: Time of the training.
        age_days: Days since the training.
        untrained: Share of the products that were not there then.
        new_pairs: Share of the pairs bought or viewed together that were not observed then.
        held_out_edges: Test edges of the snapshot that the model was not trained on; None before they are known.
        mrr_at_10: On these, computed without them; None if there are none.
        trained_mrr_at_10: On the test edges of the training.
    """

    model: str
    trained_at: datetime
    age_days: float
    untrained: float
    new_pairs: float
    held_out_edges: int | None
    mrr_at_10: float | None
    trained_mrr_at_10: float | None

    def advice(self, limits: UpdateSettings) -> tuple[str, ...]:
        """Return the reasons to train again, a sentence each; none if there are none."""
        reasons = []
        if self.untrained > limits.max_untrained:
            reasons.append(
                f"{self.untrained:.1%} of the products were not there when {self.model} was trained, "
                f"over update.max_untrained={limits.max_untrained:.1%}"
            )
        if self.new_pairs > limits.max_new_pairs:
            reasons.append(
                f"{self.new_pairs:.1%} of the pairs were observed since, "
                f"over update.max_new_pairs={limits.max_new_pairs:.1%}"
            )
        if self.age_days > limits.max_age_days:
            reasons.append(
                f"{self.model} is {self.age_days:.0f} days old, over update.max_age_days={limits.max_age_days:g}"
            )
        least = (self.trained_mrr_at_10 or 0.0) * (1 - limits.max_mrr_drop)
        measured = self.mrr_at_10 is not None and (self.held_out_edges or 0) >= limits.min_edges
        if measured and self.mrr_at_10 is not None and self.mrr_at_10 < least:
            reasons.append(
                f"MRR@10 on {self.held_out_edges:,} new edges is {self.mrr_at_10:.4f}, and was "
                f"{self.trained_mrr_at_10:.4f} at training: more than update.max_mrr_drop={limits.max_mrr_drop:.1%} "
                "is lost"
            )
        return tuple(reasons)


@dataclass(frozen=True)
class Report:
    """Report of an update, or of its dry run.

    Attributes:
        release: Live release; in a dry run, the release that would be replaced.
        replaced: Release that was replaced; None in a dry run.
        version: Version that is live; None in a dry run.
        snapshot, before: Snapshots of the new and of the replaced release.
        changes: Changes between the two snapshots.
        encoded_texts, encoded_images: Products whose text or image went through its encoder.
        aligned: Aligned vectors that were computed.
        affected, taken_over: Products whose source and target vectors were computed, and the others. These five are
            None in a dry run, and the first three where the release has no such vectors.
        staleness: Staleness of the models.
        advice: Reasons to train; empty if there are none.
    """

    release: str
    replaced: str | None
    version: str | None
    snapshot: str
    before: str
    changes: Changes
    encoded_texts: int | None
    encoded_images: int | None
    aligned: int | None
    affected: int | None
    taken_over: int | None
    staleness: Staleness
    advice: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """Return the report as JSON-like values."""
        values = asdict(self)
        values["staleness"]["trained_at"] = self.staleness.trained_at.isoformat(timespec="seconds")
        return {**values, "advice": list(self.advice)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Report:
        """Return the report that `record` was made from."""
        stale = record["staleness"]
        return cls(
            **{
                **record,
                "changes": Changes(**record["changes"]),
                "staleness": Staleness(
                    **{**stale, "trained_at": datetime.fromisoformat(stale["trained_at"])}
                ),
                "advice": tuple(record["advice"]),
            }
        )


def measure(live: Live, snapshot: Snapshot, settings: Settings, related: Version | None) -> Staleness:
    """Return the staleness of the live release's models for a snapshot.

    Args:
        live: The release.
        snapshot: The later one.
        settings: `category.level`, and the memory of DuckDB.
        related: The version that was made of it, which has what was measured on held-out edges; None if there is none.
    """
    since = find_changes(
        live.trained_snapshot, snapshot, settings.category.level, settings.ingest.memory_limit
    )
    figures = related.metrics if related is not None else {}
    return Staleness(
        model=live.trained.name,
        trained_at=live.trained.created_at,
        age_days=(utc_now() - live.trained.created_at).total_seconds() / DAY,
        untrained=since.new / snapshot.tables["products"],
        new_pairs=since.new_pairs / max(since.pairs, 1),
        held_out_edges=int(figures["held_out_edges"]) if "held_out_edges" in figures else None,
        mrr_at_10=figures.get("mrr_at_10"),
        trained_mrr_at_10=live.trained.metrics.get("mrr_at_10"),
    )


def compose(
    live: Live, snapshot: Snapshot, settings: Settings, made: dict[str, Version], release: str | None
) -> Report:
    """Return the report of an update.

    Args:
        live: The release that was live.
        snapshot: The later one.
        settings: Settings with the limits.
        made: Space → version of the later snapshot; empty in a dry run.
        release: Release that took its place; None in a dry run.
    """
    staleness = measure(live, snapshot, settings, made.get(live.space.name))

    def figure(space: str, name: str) -> int | None:
        return (
            int(made[space].metrics[name]) if name in (made[space].metrics if space in made else {}) else None
        )

    return Report(
        release=release or live.release.label,
        replaced=live.release.label if release is not None else None,
        version=made[live.space.name].name if made else None,
        snapshot=snapshot.id,
        before=live.release.version.snapshot_id,
        changes=find_changes(live.snapshot, snapshot, settings.category.level, settings.ingest.memory_limit),
        encoded_texts=figure("text", "encoded"),
        encoded_images=figure("image", "encoded"),
        aligned=figure("aligned", "computed"),
        affected=figure("related", "affected"),
        taken_over=figure("related", "taken_over"),
        staleness=staleness,
        advice=staleness.advice(settings.update),
    )

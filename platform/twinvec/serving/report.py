"""Rates of the arms of an experiment, from the events of its visitors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twinvec.errors import StateError
from twinvec.metrics.experiments import Difference, Rate, difference, rate
from twinvec.serving.events import open_events
from twinvec.settings import Settings

# A visitor counts in an arm once something of it was shown to them; without a name, each request is a visitor.
VISITORS = """
    WITH seen AS (
        SELECT arm, coalesce(visitor, request_id) AS visitor, arg_max(release, time) AS release, max(time) AS time,
               bool_or(kind = 'impression') AS shown, bool_or(kind = 'click') AS clicked,
               bool_or(kind = 'purchase') AS bought
        FROM events WHERE arm IS NOT NULL GROUP BY ALL
    )
    SELECT arm, arg_max(release, time), count(*), count_if(clicked), count_if(bought) FROM seen
    WHERE shown GROUP BY arm ORDER BY arm
"""


@dataclass(frozen=True)
class Arm:
    """Figures of one arm.

    Attributes:
        name: Name of the arm.
        release: Newest release that answered in it.
        clicked, bought: Share of its visitors who did.
        clicks_more, purchases_more: Difference to the first arm; None for that one.
    """

    name: str
    release: str
    clicked: Rate
    bought: Rate
    clicks_more: Difference | None
    purchases_more: Difference | None


def report_arms(settings: Settings, alpha: float) -> list[Arm]:
    """Return the figures of all arms, by name; the first is what others are compared with.

    The chance of a wrong decision is divided among the comparisons of clicks, and among those of purchases.

    Raises:
        NotFoundError: If there are no events.
        StateError: If none is of an arm.
        StoreError: If the database of events does not answer.
    """
    with open_events(settings) as connection:
        rows = connection.execute(VISITORS).fetchall()
    if not rows:
        raise StateError(
            "no event is of an arm", "set serving.experiment.arms, and send X-Visitor with requests"
        )
    each_alpha = alpha / max(1, len(rows) - 1)
    arms: list[Arm] = []
    for name, release, visitors, clicked, bought in rows:
        clicks, purchases = rate(clicked, visitors, alpha), rate(bought, visitors, alpha)
        first = arms[0] if arms else None
        arms.append(
            Arm(
                name,
                release,
                clicks,
                purchases,
                difference(first.clicked, clicks, each_alpha) if first else None,
                difference(first.bought, purchases, each_alpha) if first else None,
            )
        )
    return arms


def log_arms(settings: Settings, arms: Sequence[Arm]) -> None:
    """Log the figures to MLflow, a run in the experiment `twinvec/ab` with a nested run for each arm."""
    import mlflow

    from twinvec.tracking.store import use_experiment

    use_experiment(settings, "ab")
    note = "Clicks and purchases of visitors, with 95% intervals: a nested run for each arm."
    with mlflow.start_run(run_name=settings.serving.experiment.name, description=note):
        for arm in arms:
            with mlflow.start_run(run_name=arm.name, nested=True, tags={"twinvec.release": arm.release}):
                figures = {"visitors": float(arm.clicked.total)}
                for name, shown in (("clicked", arm.clicked), ("bought", arm.bought)):
                    figures |= {name: shown.value, f"{name}_low": shown.low, f"{name}_high": shown.high}
                for name, more in (("clicked_more", arm.clicks_more), ("bought_more", arm.purchases_more)):
                    if more is not None:
                        figures |= {name: more.value, f"{name}_low": more.low, f"{name}_high": more.high}
                        figures[f"{name}_decided"] = float(more.decided)
                mlflow.log_metrics(figures)

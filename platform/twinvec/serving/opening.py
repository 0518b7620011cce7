"""An answerer over the stores of a home, by its settings."""

from __future__ import annotations

from twinvec.serving.answering import Answerer
from twinvec.serving.attributes import AttributeFile
from twinvec.serving.popular import Popular
from twinvec.serving.related import ColdStart, Explainer, Recommender
from twinvec.serving.rules import Condition, Rules, parse_boosts
from twinvec.settings.serving import RuleSettings
from twinvec.workspace import Workspace


def open_recommender(workspace: Workspace) -> Recommender:
    """Return a recommender over the index that the settings name."""
    settings = workspace.settings
    return Recommender(
        workspace.index, settings.release, settings.qdrant.ef, settings.paths.versions, settings.serving.link
    )


def open_answerer(
    workspace: Workspace, cold_start: ColdStart | None = None, explainer: Explainer | None = None
) -> Answerer:
    """Return what answers questions about a home, under the rules of its settings.

    Raises:
        UnusableProductError: If a rule of the settings says nothing.
    """
    serving = workspace.settings.serving
    return Answerer(
        open_recommender(workspace),
        rules_of(serving.rules),
        AttributeFile(serving.attributes),
        Popular(workspace),
        cold_start,
        explainer,
    )


def rules_of(settings: RuleSettings) -> Rules:
    """Return the rules that settings say."""
    return Rules(
        exclude=settings.exclude,
        min_score=settings.min_score,
        where=tuple(map(Condition.parse, settings.where)),
        boost=parse_boosts(settings.boost, settings.bury),
        pin=settings.pin,
        max_per_brand=settings.max_per_brand,
        max_per_category=settings.max_per_category,
        diversity=settings.diversity,
        own_marketplace=settings.own_marketplace,
        fallback=settings.fallback,
    )

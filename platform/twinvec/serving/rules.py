"""Rules of a question: which related products may be shown, and in what order.

They work on candidates in their order, so they are the same for lists, vectors and sellers. Where a rule needs a
measure of how good a candidate is, it takes the place in that order, from 1 for the first down towards 0: scores of
lists and of vectors are on different scales, places are not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from twinvec.errors import suggestion
from twinvec.serving.product import Product, RelatedProduct
from twinvec.serving.related import UnusableProductError

Operator = Literal[":", "!=", ">=", "<="]
CONDITION = re.compile(r"(?P<field>\w{1,64})(?P<operator>:|!=|>=|<=)(?P<value>.{1,200})", re.DOTALL)
WEIGHT = re.compile(r"(?P<condition>.+)\*(?P<weight>\d+(?:\.\d+)?)", re.DOTALL)
FIELDS = ("product_id", "title", "category", "price", "currency", "marketplace", "brand", "image", "release")

Attributes = Callable[[str], Mapping[str, Any]]
"""Product id → attributes of the product that are not in its point, such as its stock."""
Vectors = Callable[[Sequence[Product]], npt.NDArray[np.float32]]
"""Products → their target vectors [n, d]."""


@dataclass(frozen=True)
class Condition:
    """A condition on a field of a product, `in_stock:true` or `rating>=4`.

    Attributes:
        field: Field of the point, or attribute.
        operator: `:` for equal, or one of the list's values; `!=`, `>=` and `<=`.
        value: Value as text; compared as a number where the field is one.
    """

    field: str
    operator: Operator
    value: str

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Return the condition that a text says.

        Raises:
            UnusableProductError: If it says none.
        """
        match = CONDITION.fullmatch(text)
        if match is None:
            raise UnusableProductError(
                f"{text[:80]!r} is no condition",
                "write `brand:Acme`, `in_stock:true`, `rating>=4` or `brand!=Acme`",
            )
        return cls(match["field"], match["operator"], match["value"])  # type: ignore[arg-type]

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Return whether a product meets it; one without a value does not, unless it is `!=`."""
        value = values.get(self.field)
        if isinstance(value, list | tuple):
            found = any(_equal(each, self.value) for each in value)
            return found if self.operator == ":" else self.operator == "!=" and not found
        if self.operator in (":", "!="):
            return (value is not None and _equal(value, self.value)) == (self.operator == ":")
        bound = _number(self.value)
        if bound is None:
            raise UnusableProductError(
                f"{self.value[:80]!r} is no number", f"`{self.field}>=4` compares numbers"
            )
        number = _number(value)
        return number is not None and (number >= bound if self.operator == ">=" else number <= bound)


@dataclass(frozen=True)
class Boost:
    """A weight for products that meet a condition; below zero, it buries them.

    Attributes:
        condition: Condition.
        weight: Share of the candidates that such a product passes: with 1, the last comes level with the first.
    """

    condition: Condition
    weight: float = 0.5

    @classmethod
    def parse(cls, text: str, sign: int = 1) -> Boost:
        """Return the boost that a text says, `brand:Acme` or `brand:Acme*0.3`; `sign` −1 buries."""
        match = WEIGHT.fullmatch(text)
        if match is None:
            return cls(Condition.parse(text), 0.5 * sign)
        return cls(Condition.parse(match["condition"]), float(match["weight"]) * sign)


def parse_boosts(boost: Iterable[str], bury: Iterable[str]) -> tuple[Boost, ...]:
    """Return the boosts that texts say, those that lift first.

    Raises:
        UnusableProductError: If one says none.
    """
    return (*map(Boost.parse, boost), *(Boost.parse(text, -1) for text in bury))


@dataclass(frozen=True)
class Rules:
    """Rules of one question.

    Attributes:
        exclude: Ids that are not shown.
        min_score: Least score, on the scale of the hit.
        where: Conditions that every hit meets.
        boost: Weights by condition.
        pin: Ids that come first, in this order, whatever the other rules say.
        max_per_brand: Most hits of one brand; products without one are not counted.
        max_per_category: Most hits of one leaf category.
        diversity: Weight of unlikeness to the hits before, from 0 to 1 (maximal marginal relevance).
        own_marketplace: Whether hits are of the product's own marketplace, if the question names none.
        fallback: Whether popular products stand in for those of a product that is unknown.
    """

    exclude: tuple[str, ...] = ()
    min_score: float | None = None
    where: tuple[Condition, ...] = ()
    boost: tuple[Boost, ...] = ()
    pin: tuple[str, ...] = ()
    max_per_brand: int | None = None
    max_per_category: int | None = None
    diversity: float = 0.0
    own_marketplace: bool = True
    fallback: bool = False

    @cached_property
    def choosing(self) -> bool:
        """True if any rule may leave a candidate out or move it."""
        plain = Rules(own_marketplace=self.own_marketplace, fallback=self.fallback)
        return self != plain

    def over(self, defaults: Rules, named: Sequence[str] | None = None) -> Rules:
        """Return these rules with those of the settings beneath.

        Exclusions, conditions and weights add up; of the others, those that are `named` win: if no names are given,
        those that are other than they are by default.
        """
        if named is None:
            plain = Rules()
            named = [
                each.name for each in fields(self) if getattr(self, each.name) != getattr(plain, each.name)
            ]
        added = {
            name: getattr(defaults, name) + getattr(self, name)
            for name in ("exclude", "where", "boost", "pin")
        }
        others = {each.name for each in fields(self)} - set(added) - set(named)
        return replace(self, **added, **{name: getattr(defaults, name) for name in others})


def apply_rules(
    rules: Rules,
    candidates: Sequence[RelatedProduct],
    k: int,
    attributes: Attributes,
    vectors: Vectors,
    pinned: Sequence[RelatedProduct] = (),
    names: Collection[str] = (),
) -> list[RelatedProduct]:
    """Return at most k hits that the rules leave of candidates, in the order that they ask for.

    Args:
        rules: Rules.
        candidates: Candidates, best first.
        k: Number of hits.
        attributes: Attributes of products.
        vectors: Target vectors of products, for diversity.
        pinned: Hits that come first.
        names: Names of all attributes, which none of the candidates need have.
    """
    hidden = {*rules.exclude, *(hit.product.product_id for hit in pinned)}
    kept = [
        hit
        for hit in candidates
        if hit.product.product_id not in hidden and (rules.min_score is None or hit.score >= rules.min_score)
    ]
    if rules.where or rules.boost:
        values = [{**hit.product.payload, **attributes(hit.product.product_id or "")} for hit in kept]
        _refuse_unknown((*rules.where, *(each.condition for each in rules.boost)), values, names)
        chosen = [i for i, each in enumerate(values) if all(rule.holds(each) for rule in rules.where)]
        kept = _boosted(rules.boost, [kept[i] for i in chosen], [values[i] for i in chosen])
    if rules.diversity > 0 and len(kept) > 1:
        kept = [kept[i] for i in diverse(vectors([hit.product for hit in kept]), rules.diversity, k)]
    shown = [*pinned]
    brands: Counter[str] = Counter()
    leaves: Counter[str] = Counter()
    for hit in kept:
        brand, leaf = hit.product.brand, hit.product.category[-1] if hit.product.category else None
        if rules.max_per_brand is not None and brand is not None and brands[brand] >= rules.max_per_brand:
            continue
        if rules.max_per_category is not None and leaf is not None and leaves[leaf] >= rules.max_per_category:
            continue
        brands.update([brand] if brand is not None else [])
        leaves.update([leaf] if leaf is not None else [])
        shown.append(hit)
        if len(shown) >= k:
            break
    return shown[:k]


def diverse(vectors: npt.NDArray[np.float32], weight: float, k: int) -> list[int]:
    """Return the order of the k best candidates by maximal marginal relevance (Carbonell and Goldstein, 1998).

    Each next one has the highest (1 − weight) · place − weight · cosine to the most similar before it.

    Args:
        vectors: Vectors of n candidates, best first, [n, d].
        weight: Weight of unlikeness, from 0 to 1.
        k: Number of candidates.
    """
    n = len(vectors)
    place = 1 - np.arange(n) / n
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    nearest = np.zeros(n)
    order: list[int] = []
    left = np.ones(n, bool)
    for step in range(min(k, n)):
        value = np.where(left, (1 - weight) * place - weight * nearest, -np.inf)
        best = int(np.argmax(value))
        order.append(best)
        left[best] = False
        cosine = unit @ unit[best]
        nearest = cosine if step == 0 else np.maximum(nearest, cosine)
    return order


def _boosted(
    boosts: Sequence[Boost], hits: Sequence[RelatedProduct], values: Sequence[Mapping[str, Any]]
) -> list[RelatedProduct]:
    if not boosts or not hits:
        return list(hits)
    place = 1 - np.arange(len(hits)) / len(hits)
    for row, each in enumerate(values):
        place[row] += sum(boost.weight for boost in boosts if boost.condition.holds(each))
    return [hits[row] for row in np.argsort(-place, kind="stable")]


def _refuse_unknown(
    conditions: Sequence[Condition], values: Sequence[Mapping[str, Any]], names: Collection[str]
) -> None:
    """Refuse a field that no product has: a typing error would leave nothing, and not say why."""
    known = {*FIELDS, *names, *(name for each in values for name in each)}
    for condition in conditions:
        if values and condition.field not in known:
            raise UnusableProductError(
                f"no product has a field {condition.field!r}", suggestion(condition.field, sorted(known))
            )


def _equal(value: object, text: str) -> bool:
    if isinstance(value, bool):
        return text.lower() == str(value).lower()
    if isinstance(value, int | float):
        return _number(text) == value
    return str(value) == text


def _number(value: object) -> float | None:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None

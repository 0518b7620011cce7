"""The one place where questions are answered: `home.related`, the command and the HTTP API call it.

It finds candidates in the release that is live or named, and applies the rules of the settings and of the question.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from twinvec.errors import StateError, suggestion
from twinvec.serving.attributes import AttributeFile
from twinvec.serving.choices import UnusableFilterError, check_filters
from twinvec.serving.listed import Listed
from twinvec.serving.popular import Popular
from twinvec.serving.product import Product, RelatedProduct
from twinvec.serving.related import (
    ColdStart,
    Explainer,
    NewProduct,
    Recommender,
    Related,
    UnknownProductError,
    UnusableProductError,
)
from twinvec.serving.rules import Rules, apply_rules
from twinvec.serving.writing import write_answer, write_hits
from twinvec.vectors.index import Filters, stored_points

MOST = 1000
# Currencies or marketplaces that are looked at.
NAMES = 10_000
# Filters that are known to be good, and questions whose rules are known.
CHECKED = 10_000
ANY = "*"
# Reciprocal rank fusion (Cormack, Clarke and Buettcher, 2009): its constant.
FUSION = 60
POPULAR = "popular"
NO_FILTERS, NO_RULES = Filters(), Rules()


@dataclass(frozen=True)
class Question:
    """A question, beside the product that it is about.

    Attributes:
        k: Number of products.
        filters: Conditions that the index checks; a marketplace `*` means any.
        rules: Rules of the question.
        named: Names of the rules that win over those of the settings; those that differ from the defaults if None.
        release: Release to ask; the live one if None.
        explain: Whether hits from lists get reasons.
        fields: Fields of the points, or attributes, that each hit carries.
    """

    k: int = 10
    filters: Filters = NO_FILTERS
    rules: Rules = NO_RULES
    named: tuple[str, ...] | None = None
    release: str | None = None
    explain: bool = False
    fields: tuple[str, ...] = ()


PLAIN = Question()


@dataclass(frozen=True)
class Answerer:
    """Answers questions by one recommender, under the rules of the settings.

    Attributes:
        recommender: Finds candidates.
        defaults: Rules of the settings.
        attributes: Attributes of products beside their points.
        popular: Products that stand in for unknown ones.
        cold_start: Finds candidates for products that are not in the catalogue.
        explainer: Tells the reasons of answers from lists.
    """

    recommender: Recommender
    defaults: Rules = NO_RULES
    attributes: AttributeFile = field(default_factory=AttributeFile)
    popular: Popular | None = None
    cold_start: ColdStart | None = None
    explainer: Explainer | None = None
    _checked: set[tuple[str, Filters]] = field(default_factory=set, compare=False, repr=False)
    _names: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict, compare=False, repr=False)

    def related(self, product_id: str, question: Question = PLAIN, collection: str | None = None) -> Related:
        """Return the products most related to one, under the rules.

        Args:
            product_id: Product of the catalogue.
            question: What is asked.
            collection: Collection that answers; that of the question's release if not given.

        Raises:
            UnknownProductError: If the release has no such product, and no popular ones may stand in.
            UnknownNameError: If there is no such release.
            UnusableFilterError: If no product can meet the filters.
            UnusableProductError: If the question contradicts itself.
            StateError: If no release is live.
        """
        collection, rules = self._prepare(question, collection)
        return self._related(collection, product_id, question, rules)

    def batch(
        self, product_ids: Sequence[str], question: Question = PLAIN, collection: str | None = None
    ) -> list[Related]:
        """Return an answer for each of some products, all of one release; an unknown one has no hits.

        Raises:
            UnknownNameError: If there is no such release.
            UnusableFilterError: If no product can meet the filters.
        """
        collection, rules = self._prepare(question, collection)
        answers = []
        for product_id in product_ids:
            try:
                answers.append(self._related(collection, product_id, question, rules))
            except UnknownProductError:
                unknown = Product(product_id, None, (), None, None)
                answers.append(Related(collection, unknown, (), fallback="unknown"))
        return answers

    def written(self, product_ids: Sequence[str], question: Question, collection: str) -> dict[str, bytes]:
        """Return the answers that lists give whole, by product, as JSON; `related` and `batch` give the others.

        They are what `related` returns, written in one pass over all products, without an object for each hit.
        """
        collection, rules = self._prepare(question, collection)
        lists = self.recommender.lists_of(collection)
        if lists is None or rules.choosing or question.explain or question.fields:
            return {}
        rows = {name: row for name in product_ids if (row := lists.row(name)) is not None}
        # Filters depend on these two of a product alone.
        groups: defaultdict[tuple[str | None, str | None], list[tuple[str, Listed]]] = defaultdict(list)
        for name, asked in zip(rows, lists.read(list(rows.values())), strict=True):
            if asked is not None:
                groups[asked.product.marketplace, asked.product.currency].append((name, asked))
        answers = {}
        for group in groups.values():
            filters = self._filters(collection, question, rules, group[0][1].product)
            entries = lists.entries([rows[name] for name, _ in group], question.k, filters)
            hits, first = write_hits(entries), 0
            for (name, asked), count in zip(group, entries.counts, strict=True):
                if count == question.k:  # else more are found by the vectors
                    answers[name] = write_answer(collection, asked, hits[first : first + count])
                first += count
        return answers

    def basket(
        self, product_ids: Sequence[str], question: Question = PLAIN, collection: str | None = None
    ) -> Related:
        """Return one list for some products together, without them, by reciprocal rank fusion of their lists.

        The score of a hit is the sum of 1 / (60 + place) over the lists that have it. Unknown products are left out as
        long as one is known.

        Raises:
            UnknownProductError: If the release has none of the products.
        """
        collection, rules = self._prepare(question, collection)
        each = replace(question, k=min(MOST, max(50, 3 * question.k)), explain=False, fields=())
        lists, unknown = [], None
        for product_id in dict.fromkeys(product_ids):
            try:
                lists.append(
                    self._related(collection, product_id, each, Rules(own_marketplace=rules.own_marketplace))
                )
            except UnknownProductError as error:
                unknown = error
        if not lists:
            if unknown is not None and rules.fallback:
                return self._stand_in(collection, product_ids[0], question, rules, unknown)
            raise unknown or UnusableProductError("the basket is empty", "name a product at least")
        scores: defaultdict[str | None, float] = defaultdict(float)
        products: dict[str | None, RelatedProduct] = {}
        for answer in lists:
            for place, hit in enumerate(answer.hits, 1):
                scores[hit.product.product_id] += 1 / (FUSION + place)
                products.setdefault(hit.product.product_id, hit)
        inside = set(product_ids)
        order = sorted((name for name in scores if name not in inside), key=lambda name: -scores[name])
        merged = [replace(products[name], score=scores[name]) for name in order]
        hits = self._ruled(collection, merged, question, rules)
        asked = (
            lists[0].product
            if len(lists) == 1
            else Product(None, None, (), None, lists[0].product.marketplace)
        )
        return self._finished(
            Related(collection, asked, tuple(hits), sum(hit.listed for hit in hits)), question
        )

    def related_to_new(
        self, product: NewProduct, question: Question = PLAIN, collection: str | None = None
    ) -> Related:
        """Return the products most related to one that is not in the catalogue, under the rules.

        Raises:
            UnusableProductError: If it cannot be encoded from its description, or reasons are asked for.
            StateError: If the server answers for no new products.
        """
        if self.cold_start is None:
            raise StateError("new products are not answered for here", "ask with a product of the catalogue")
        if question.explain:
            raise UnusableProductError("a new product is answered without a list", "leave `explain` out")
        collection, rules = self._prepare(question, collection)
        filters = self._filters(collection, question, rules, None)
        cold = self.cold_start

        def find(n: int) -> Related:
            return cold.related(product, n, filters, collection)

        return self._finished(self._grown(collection, find, question, rules), question)

    def choose(
        self, collection: str, candidates: Sequence[RelatedProduct], question: Question
    ) -> list[RelatedProduct]:
        """Return the candidates of another search, such as that for a seller, that the question's rules leave."""
        self.attributes.refresh()
        return self._ruled(collection, candidates, question, question.rules)

    def _prepare(self, question: Question, collection: str | None = None) -> tuple[str, Rules]:
        collection = collection or self.recommender.collection_of(question.release)
        self.attributes.refresh()
        self._check_names(collection, question.filters)
        return collection, _rules_of(question, self.defaults)

    def _related(self, collection: str, product_id: str, question: Question, rules: Rules) -> Related:
        recommender = self.recommender
        try:
            product = recommender.product(product_id, collection)
        except UnknownProductError as error:
            if not rules.fallback:
                raise
            return self._stand_in(collection, product_id, question, rules, error)
        filters = self._filters(collection, question, rules, product)

        def find(n: int) -> Related:
            return recommender.related(product_id, n, filters, collection)

        return self._finished(self._grown(collection, find, question, rules), question)

    def _stand_in(
        self, collection: str, product_id: str, question: Question, rules: Rules, error: UnknownProductError
    ) -> Related:
        if self.popular is None:
            raise error
        filters = self._filters(collection, question, rules, None)
        candidates = self.popular.best(collection, MOST, filters, self.recommender.link)
        hits = self._ruled(collection, candidates, question, replace(rules, min_score=None))
        unknown = Product(product_id, None, (), None, None)
        return self._finished(
            Related(collection, unknown, tuple(hits), 0, POPULAR), replace(question, explain=False)
        )

    def _grown(
        self, collection: str, find: Callable[[int], Related], question: Question, rules: Rules
    ) -> Related:
        """Return the k hits that meet the rules: of k candidates if no rule chooses, else of as many as it takes."""
        if not rules.choosing:
            return find(question.k)
        n = min(MOST, max(50, 4 * question.k))
        while True:
            answer = find(n)
            hits = self._ruled(collection, answer.hits, question, rules)
            if len(hits) >= question.k or len(answer.hits) < n or n >= MOST:
                return replace(answer, hits=tuple(hits), ranked=sum(hit.listed for hit in hits))
            n = min(MOST, 4 * n)

    def _ruled(
        self, collection: str, candidates: Sequence[RelatedProduct], question: Question, rules: Rules
    ) -> list[RelatedProduct]:
        if not rules.choosing:
            return list(candidates[: question.k])
        by_id = {hit.product.product_id: hit for hit in candidates}
        pinned = []
        for product_id in rules.pin:
            found = by_id.get(product_id)
            hit = found or RelatedProduct(math.nan, self.recommender.product(product_id, collection))
            pinned.append(replace(hit, pinned=True))

        def vectors(products: Sequence[Product]) -> npt.NDArray[np.float32]:
            pairs = [(product.marketplace or "", product.product_id or "") for product in products]
            points = stored_points(self.recommender.index, collection, pairs)
            return self.recommender.index.vectors(collection, points)[1]

        attributes = self.attributes
        return apply_rules(rules, candidates, question.k, attributes.of, vectors, pinned, attributes.names)

    def _finished(self, answer: Related, question: Question) -> Related:
        """Return an answer with the fields and reasons that were asked for."""
        if question.explain:
            if self.explainer is None:
                raise StateError("no space explains related products", "leave `explain` out")
            answer = self.explainer.explain(answer)
        if question.fields:
            answer = replace(
                answer,
                hits=tuple(
                    replace(hit, product=self._with_fields(hit.product, question)) for hit in answer.hits
                ),
            )
        return answer

    def _with_fields(self, product: Product, question: Question) -> Product:
        values = {**product.payload, **self.attributes.of(product.product_id or "")}
        return replace(product, fields={name: values.get(name) for name in question.fields})

    def _filters(self, collection: str, question: Question, rules: Rules, product: Product | None) -> Filters:
        """Return the filters of a question, with the own marketplace, and one currency under a price."""
        filters = question.filters
        if ANY in filters.marketplace:
            filters = replace(filters, marketplace=())
        elif (
            not filters.marketplace and rules.own_marketplace and product is not None and product.marketplace
        ):
            filters = _in_marketplace(filters, product.marketplace)
        if (filters.min_price is None and filters.max_price is None) or filters.currency:
            return filters
        if product is not None and product.currency is not None:
            return replace(filters, currency=(product.currency,))
        currencies = self._values(collection, "currency")
        if len(currencies) == 1:
            return replace(filters, currency=tuple(currencies))
        if currencies:
            raise UnusableProductError(
                f"a price without a currency means nothing here: there are {', '.join(sorted(currencies))}",
                "name one as `currency`",
            )
        # Of releases that were published before currencies were kept, a marketplace has one.
        if len(filters.marketplace) != 1 and len(self._values(collection, "marketplace")) > 1:
            raise UnusableProductError(
                "a price is not compared across marketplaces, whose currencies this release does not know",
                "name one as `marketplace`, or publish again: a new release keeps currencies",
            )
        return filters

    def _check_names(self, collection: str, filters: Filters) -> None:
        """Check the filters once for each collection."""
        if filters == NO_FILTERS or (collection, filters) in self._checked:
            return
        markets = tuple(name for name in filters.marketplace if name != ANY)
        check_filters(self.recommender.index, collection, replace(filters, marketplace=markets))
        known = self._values(collection, "currency") if filters.currency else frozenset()
        for currency in filters.currency:
            if currency not in known:
                raise UnusableFilterError(
                    f"no price of {collection} is in {currency!r}",
                    suggestion(currency, sorted(known))
                    if known
                    else "publish again: a new release keeps currencies",
                )
        if len(self._checked) >= CHECKED:
            self._checked.clear()
        self._checked.add((collection, filters))

    def _values(self, collection: str, kind: str) -> frozenset[str]:
        """Return the categories, marketplaces or currencies of a collection; they never change."""
        key = collection, kind
        if key not in self._names:
            if len(self._names) > 30:
                self._names.clear()
            self._names[key] = frozenset(self.recommender.index.values(collection, kind, NAMES))
        return self._names[key]


@lru_cache(CHECKED)
def _rules_of(question: Question, defaults: Rules) -> Rules:
    """Return the rules of a question, over those of the settings."""
    return question.rules.over(defaults, question.named)


@lru_cache(CHECKED)
def _in_marketplace(filters: Filters, marketplace: str) -> Filters:
    """Return the filters for one marketplace."""
    return replace(filters, marketplace=(marketplace,))

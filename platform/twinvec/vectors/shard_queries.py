"""Queries on an open shard of Qdrant Edge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qdrant_edge as edge

from twinvec.vectors.index import OVERSAMPLING, TARGET, Filters, Hit
from twinvec.vectors.points import point_id


def search(
    shard: edge.EdgeShard,
    query: list[float],
    k: int,
    conditions: edge.Filter | None,
    parameters: edge.SearchParams,
) -> list[Hit]:
    """Return the k best targets of one query, best first."""
    nearest = edge.Query.Nearest(query, using=TARGET)
    # Edge plans a query, in a batch or alone, which takes half as long again as a search of the same.
    return _hits(
        shard.search(edge.SearchRequest(nearest, k, filter=conditions, params=parameters, with_payload=True))
    )


def search_all(
    shard: edge.EdgeShard,
    queries: list[list[float]],
    k: int,
    conditions: edge.Filter | None,
    parameters: edge.SearchParams,
) -> list[list[Hit]]:
    """Return the k best targets of each query; those of an exact search are found in one pass over the vectors."""
    requests = [
        edge.QueryRequest(
            limit=k,
            query=edge.Query.Nearest(query, using=TARGET),
            filter=conditions,
            params=parameters,
            with_payload=True,
        )
        for query in queries
    ]
    return [_hits(points) for points in shard.query_batch(edge.QueryBatchRequest(requests))]


def find(
    shard: edge.EdgeShard, product_id: str, markets: Sequence[str], with_vector: list[str] | None = None
) -> edge.Record | None:
    """Return the product with this id, with its payload.

    Args:
        markets: Marketplaces to try first, by the points the product would have there: Edge finds a few points in less
            time than it takes to search by the field.
        with_vector: Names of the vectors to read.
    """
    points: list[Any] = [point_id(market, product_id) for market in markets]
    records = shard.retrieve(points, with_payload=True, with_vector=with_vector)
    if not records:
        condition = edge.Filter(must=[edge.FieldCondition("product_id", match=edge.MatchValue(product_id))])
        records, _ = shard.scroll(
            edge.ScrollRequest(limit=1, filter=condition, with_payload=True, with_vector=with_vector)
        )
    return records[0] if records else None


def payloads(
    shard: edge.EdgeShard, ids: list[str], conditions: edge.Filter | None
) -> list[dict[str, Any] | None]:
    """Return the payload of each point; None where it does not exist or does not meet the conditions."""
    points: list[Any] = ids
    if conditions is None:
        records = shard.retrieve(points, with_payload=True, with_vector=False)
    else:
        among = edge.Filter(must=[edge.HasIdCondition(set(points)), *(conditions.must or [])])
        records, _ = shard.scroll(edge.ScrollRequest(limit=len(ids), filter=among, with_payload=True))
    stored = {str(record.id): record.payload for record in records}
    return [stored.get(id_) for id_ in ids]


def common_markets(shard: edge.EdgeShard, most: int) -> list[str]:
    """Return the marketplaces with most products."""
    return list(values(shard, "marketplace", most))


def values(shard: edge.EdgeShard, field: str, most: int) -> dict[str, int]:
    """Return the values of an indexed field with most products → number of products; none if it has no index."""
    if field not in shard.info().payload_schema:
        return {}
    return {str(each.value): each.count for each in shard.facet(edge.FacetRequest(field, limit=most)).hits}


def search_params(ef: int | None, *, exact: bool = False) -> edge.SearchParams:
    """Return the parameters of a search; quantisation counts in shards that have it, and not if it is exact."""
    codes = edge.QuantizationSearchParams(ignore=exact, rescore=True, oversampling=OVERSAMPLING)
    return edge.SearchParams(hnsw_ef=ef, exact=exact, quantization=codes)


def as_filter(filters: Filters | None) -> edge.Filter | None:
    """Return the conditions of a search, or None if there are none."""
    if filters is None:
        return None
    must: list[Any] = [
        edge.FieldCondition(name, match=edge.MatchAny(list(values)))
        for name, values in (
            ("category", filters.category),
            ("marketplace", filters.marketplace),
            ("currency", filters.currency),
        )
        if values
    ]
    if filters.min_price is not None or filters.max_price is not None:
        bounds = edge.RangeFloat(gte=filters.min_price, lte=filters.max_price)
        must.append(edge.FieldCondition("price", range=bounds))
    return edge.Filter(must=must) if must else None


def _hits(points: Sequence[Any]) -> list[Hit]:
    # The payload is made anew each time it is asked for.
    return [Hit((payload := point.payload)["product_id"], point.score, payload) for point in points]

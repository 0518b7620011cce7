"""Requests to a Qdrant server, and its answers, as qdrant-client has them."""

from __future__ import annotations

from qdrant_client import models

from twinvec.vectors.index import OVERSAMPLING, CollectionConfig, Filters, Hit, Quantization


def vector_params(config: CollectionConfig, m: int, on_disk: bool) -> models.VectorParams:
    """Return the parameters of one vector of a new collection.

    Args:
        m: Number of links of a point; 0 is no graph.
    """
    stored = on_disk or None  # None is the server's own choice.
    graph = models.HnswConfigDiff(
        m=m, ef_construct=config.ef_construct, full_scan_threshold=config.full_scan_threshold, on_disk=stored
    )
    return models.VectorParams(
        size=config.dimension, distance=models.Distance.DOT, hnsw_config=graph, on_disk=stored
    )


def quantization_config(quantization: Quantization) -> models.QuantizationConfigDiff:
    """Return the change of a vector's parameters that sets its codes; these are in memory, wherever the vectors are."""
    if quantization == "scalar":
        scalar = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
        return models.ScalarQuantization(scalar=scalar)
    if quantization == "product":
        product = models.ProductQuantizationConfig(compression=models.CompressionRatio.X16, always_ram=True)
        return models.ProductQuantization(product=product)
    if quantization == "binary":
        return models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True))
    return models.Disabled.DISABLED


def search_params(ef: int | None, *, exact: bool = False) -> models.SearchParams:
    """Return the parameters of a search; quantisation counts in collections that have it, and not if it is exact."""
    codes = models.QuantizationSearchParams(ignore=exact, rescore=True, oversampling=OVERSAMPLING)
    return models.SearchParams(hnsw_ef=ef, exact=exact, quantization=codes)


def as_hit(point: models.ScoredPoint) -> Hit:
    """Return a point that a search found as a hit."""
    payload = point.payload or {}
    return Hit(str(payload.get("product_id")), point.score, payload)


def as_filter(filters: Filters | None, without: str | None = None) -> models.Filter | None:
    """Return the conditions of a search, or None if there are none.

    Args:
        without: Id of a point that is left out.
    """
    filters = filters or Filters()
    must: list[models.Condition] = [
        models.FieldCondition(key=name, match=models.MatchAny(any=list(values)))
        for name, values in (
            ("category", filters.category),
            ("marketplace", filters.marketplace),
            ("currency", filters.currency),
        )
        if values
    ]
    if filters.min_price is not None or filters.max_price is not None:
        bounds = models.Range(gte=filters.min_price, lte=filters.max_price)
        must.append(models.FieldCondition(key="price", range=bounds))
    must_not: list[models.Condition] = (
        [models.HasIdCondition(has_id=[without])] if without is not None else []
    )
    return models.Filter(must=must, must_not=must_not) if must or must_not else None

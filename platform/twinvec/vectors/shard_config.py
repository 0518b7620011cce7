"""Configuration of shards of Qdrant Edge."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import qdrant_edge as edge

from twinvec.vectors.index import FLOAT_FIELDS, KEYWORD_FIELDS, SOURCE, TARGET, CollectionConfig, Quantization

# Codes are in memory; the vectors, which a search reads a few of, are mapped files, as without codes.
CODES: Mapping[Quantization, edge.QuantizationConfigType | None] = {
    "none": None,
    "scalar": edge.ScalarQuantizationConfig(edge.ScalarType.Int8, memory=edge.Memory.Pinned),
    "product": edge.ProductQuantizationConfig(edge.CompressionRatio.X16, memory=edge.Memory.Pinned),
    "binary": edge.BinaryQuantizationConfig(memory=edge.Memory.Pinned),
}


def shard_config(config: CollectionConfig, quantization: Quantization = "none") -> edge.EdgeConfig:
    """Return the configuration of the shard of a collection. It is kept with the shard, so loading needs none."""

    def vector(m: int, quantization: Quantization) -> edge.EdgeVectorParams:
        graph = edge.HnswIndexConfig(
            m=m, ef_construct=config.ef_construct, full_scan_threshold=config.full_scan_threshold
        )
        return edge.EdgeVectorParams(
            config.dimension, edge.Distance.Dot, hnsw_config=graph, quantization_config=CODES[quantization]
        )

    return edge.EdgeConfig(
        vectors={SOURCE: vector(0, "none"), TARGET: vector(config.m, quantization)},
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=config.full_scan_threshold),
        wal_enabled=False,
    )


def create_shard(folder: Path, config: CollectionConfig) -> None:
    """Create an empty shard, with its payload indexes."""
    shard = edge.EdgeShard.create(str(folder), shard_config(config))
    for name in KEYWORD_FIELDS:
        shard.update(edge.UpdateOperation.create_field_index(name, edge.PayloadSchemaType.Keyword))
    for name in FLOAT_FIELDS:
        shard.update(edge.UpdateOperation.create_field_index(name, edge.PayloadSchemaType.Float))
    shard.flush()
    shard.close()

"""Declarations of the spaces `search_nodes`, `neighbourhoods` and `relevance` (SALAM), the last one served.

A release of `relevance` has no vectors to search. It is a model for each region, the neighbourhoods that these read,
and the encoders that both were made with.
"""

from __future__ import annotations

from twinvec.spaces import REGIONS, SEARCH_NODES, Serving, Space

NODES = Space(name="search_nodes", fields=("search_vector",), entity=SEARCH_NODES)
NEIGHBOURHOODS = Space(
    name="neighbourhoods",
    description="Purchases around queries and products, as the relevance models read them; no model.",
    train="pipelines.relevance.graph_pipeline:train",
    columns=("nodes", "sources", "targets"),
    entity=SEARCH_NODES,
    needs=("text",),
    settings=("neighbourhoods",),
    tables=("products", "queries", "query_purchases"),
    reason_to_skip="pipelines.relevance.graph_pipeline:reason_to_skip",
    companions=(NODES,),
)
SPACE = Space(
    name="relevance",
    description="Language models, one a region: exact, substitute, complement or irrelevant for a query.",
    train="pipelines.relevance.pipeline:train",
    columns=("model", "judgements", "macro_f1", "micro_f1"),
    entity=REGIONS,
    uses=("search_nodes", "neighbourhoods"),
    settings=("relevance",),
    tables=("products", "queries", "judgements"),
    reason_to_skip="pipelines.relevance.judged:reason_to_skip",
    serving=Serving(
        name="search_relevance",
        every_product=False,
        verify="pipelines.relevance.quality:verify",
        floors="pipelines.relevance.quality:floors",
        judge="pipelines.relevance.quality:compare",
        classify="pipelines.relevance.service:RelevanceService",
        aliases=("search_relevance_live", "search_relevance_previous"),
    ),
)

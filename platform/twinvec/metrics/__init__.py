"""Ranking, direction and link-prediction metrics over vectors or other scores of pairs (MERLIN 4.1.4, WAML 3).

    ranking           rank of each edge's target among all products; Hits@k and MRR@10
    direction         edges against their own reverses: AUC-dir
    link_prediction   edges against random pairs
    coviews           retrieval of co-viewed products by an encoder's vectors
    recall            recall of held-out pairs, by how many training pairs their ends have
    scores            scores of pairs: dot products of vectors, sparse matrices, candidates only

Edges are two arrays, sources and targets, int64 [edges] each. Known pairs, which no ranking counts, are a sparse matrix
[n, n], nonzero where a pair is known.
"""

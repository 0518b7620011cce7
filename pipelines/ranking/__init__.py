"""The space `ranking`: lists of related products, ordered by a learned ranker over graph, content and vectors."""

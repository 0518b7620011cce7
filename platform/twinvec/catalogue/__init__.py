"""The catalogue: turns sources into immutable snapshots.

`ingest` reads a source through one of `loaders`, `contract` and `quarantine` decide which rows may enter,
`mining` makes pairs of baskets, `contents` names the result by its hash, and `snapshot` is how everything
else reads it.
"""

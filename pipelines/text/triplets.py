"""Mining of co-view pairs and their negatives in DuckDB, anew for each epoch (MERLIN 3.3).

An anchor's negatives come from four sources; a scheme is a mix of them:

    random      all products
    category    products of the anchor's category
    copurchase  products bought with the anchor, in either order
    hard        products viewed with the anchor, less often than the positive was

A negative is never the anchor or the positive, and has neither's text. It is no product that was viewed with the
anchor, except for hard negatives. The miner does not know the held-out co-views: they may be drawn as negatives like
any other pair that nobody viewed. If they were spared, the encoder could recognise them as the pairs that were never
negatives, and the validation would leak.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa

from pipelines.graph.product_graph import Split
from pipelines.text.texts import DESCRIBED_SQL
from twinvec.catalogue.snapshot import Snapshot, quoted
from twinvec.settings.pipelines import TextTraining

# Sources of each scheme's negatives, in equal parts. A source without one for an anchor is followed by the next.
SOURCES = {
    "copurchase": (("copurchase", "random"),),
    "category": (("random",), ("category", "random")),
    "coview": (("random",), ("category", "random"), ("hard", "category", "random")),
}
SOURCES["coview-ml"] = SOURCES["coview"]
# Draws from a source before the next source is used.
TRIES = 8
# Steps of this length around a circle spread evenly over it, for any number of steps.
GOLDEN = 0.6180339887498949


def open_graph(
    snapshot: Snapshot, graph: Path, min_hard_count: int, memory_limit: str
) -> duckdb.DuckDBPyConnection:
    """Return a connection with the tables to mine from.

    Tables: `described(node, text, …)`, products that have a text; `viewed(anchor, other, count)`, both orders of each
    pair to train on; `pool(source, key, place, node)`, the candidates of each source, numbered from 0 by key.

    Args:
        snapshot: Snapshot with titles and categories.
        graph: Folder of the product graph.
        min_hard_count: Least number of co-views with the anchor for a hard negative.
        memory_limit: Memory limit of DuckDB, beyond which it uses the disk.
    """
    connection = snapshot.connect(memory_limit)
    connection.execute(f"CREATE VIEW node AS FROM read_parquet({quoted(graph / 'nodes.parquet')})")
    for name in ("coview", "copurchase"):
        connection.execute(
            f"CREATE VIEW {name}_edge AS FROM read_parquet({quoted(graph / f'{name}.parquet')}) "
            f"WHERE split = {int(Split.TRAIN)}"
        )
    connection.execute(f"""
        CREATE TABLE described AS
        SELECT *, concat_ws(': ', path, title) AS text,
               row_number() OVER (ORDER BY node) - 1 AS place,
               row_number() OVER (PARTITION BY category ORDER BY node) - 1 AS category_place,
               count(*) OVER (PARTITION BY category) AS category_size,
               min(node) OVER (PARTITION BY category) AS category_key,
               min(node) OVER (PARTITION BY concat_ws(': ', path, title)) AS wording
        FROM node JOIN ({DESCRIBED_SQL}) USING (product_id)
    """)
    connection.execute("""
        CREATE TABLE viewed AS
        SELECT anchor, other, sum(count)::BIGINT AS count
        FROM (SELECT source AS anchor, target AS other, count FROM coview_edge
              UNION ALL SELECT target, source, count FROM coview_edge)
        WHERE anchor <> other
        GROUP BY ALL
    """)
    for end in ("anchor", "other"):
        connection.execute(f"DELETE FROM viewed WHERE {end} NOT IN (SELECT node FROM described)")
    connection.execute("""
        CREATE TABLE bought AS
        SELECT anchor, other, row_number() OVER (PARTITION BY anchor ORDER BY other) - 1 AS place
        FROM (SELECT source AS anchor, target AS other FROM copurchase_edge
              UNION SELECT target, source FROM copurchase_edge) edge
        ANTI JOIN viewed ON viewed.anchor = edge.anchor AND viewed.other = edge.other
        WHERE anchor <> other AND other IN (SELECT node FROM described)
    """)
    # `rarer` counts the candidates viewed with the anchor less often than this one; they come before it.
    connection.execute(
        """
        CREATE TABLE hard AS
        SELECT anchor, other, row_number() OVER (PARTITION BY anchor ORDER BY count, other) - 1 AS place,
               rank() OVER (PARTITION BY anchor ORDER BY count) - 1 AS rarer
        FROM viewed WHERE count >= ?
        """,
        [min_hard_count],
    )
    connection.execute("""
        CREATE VIEW pool AS
        SELECT 'random' AS source, 0 AS key, place, node FROM described
        UNION ALL SELECT 'category', category_key, category_place, node FROM described WHERE category IS NOT NULL
        UNION ALL SELECT 'copurchase', anchor, place, other FROM bought
        UNION ALL SELECT 'hard', anchor, place, other FROM hard
    """)
    return connection


def count_pairs(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the number of co-view pairs to train on."""
    ((pairs,),) = connection.execute("SELECT count(*) FROM viewed WHERE anchor < other").fetchall()
    return int(pairs)


def mine(
    connection: duckdb.DuckDBPyConnection, scheme: str, options: TextTraining, seed: int, epoch: int
) -> None:
    """Make the table `triplet(row, products)` of one epoch, a pure function of the graph, the seed and the epoch.

    `row` numbers the pairs from 0 in the order of training; `products` are the nodes of the anchor, the positive and
    the negatives. The anchor is one end of the pair, drawn at random. A pair without a possible negative is left out.

    Args:
        connection: Connection from `open_graph`.
        scheme: A key of `SOURCES`.
        options: Settings of the numbers of pairs and negatives.
        seed: Seed of all draws.
        epoch: Number of the epoch, from 0.
    """
    total = count_pairs(connection)
    taken = min(options.pairs, total)
    # A pair's place is drawn once, and each epoch takes the places after those of the epoch before.
    connection.execute(
        f"""
        CREATE OR REPLACE TABLE chosen AS
        WITH placed AS (
            SELECT anchor, other, count,
                   row_number() OVER (ORDER BY {_draw("'pair'", epoch=False)}, anchor, other) - 1 AS place
            FROM viewed WHERE anchor < other
        ), turned AS (
            SELECT CASE WHEN {_draw("'turn'")} < 0.5 THEN [anchor, other] ELSE [other, anchor] END AS ends,
                   {_draw("'order'")} AS place, {_draw("'source'")} AS first_source, {_draw("'negative'")} AS draw
            FROM placed WHERE ((place - $epoch * $taken) % $total + $total) % $total < $taken
        )
        SELECT ends[1] AS anchor, ends[2] AS positive, turned.place, first_source, draw,
               category_key, category_size,
               (SELECT count(*) FROM bought WHERE bought.anchor = ends[1]) AS copurchase_size,
               coalesce(rarer, 0) AS hard_size
        FROM turned JOIN described ON node = ends[1]
        LEFT JOIN hard ON hard.anchor = ends[1] AND hard.other = ends[2]
        """,
        {"seed": seed, "epoch": epoch, "taken": taken, "total": max(total, 1)},
    )
    connection.execute(
        f"""
        CREATE OR REPLACE TABLE triplet AS
        WITH mix(part, step, source) AS (VALUES {_mix(scheme)}),
        attempt AS (
            SELECT chosen.*, slot, source, step * {TRIES} + try AS attempt,
                   (draw + ((step * {TRIES} + try) * $slots + slot) * {GOLDEN}) % 1 AS spot,
                   CASE source WHEN 'random' THEN 0 WHEN 'category' THEN category_key ELSE anchor END AS key,
                   CASE source WHEN 'random' THEN (SELECT count(*) FROM described)
                               WHEN 'category' THEN category_size
                               WHEN 'copurchase' THEN copurchase_size
                               ELSE hard_size END AS size
            FROM chosen, range($slots) slots(slot), range({TRIES}) tries(try), mix
            WHERE part = (slot + floor(first_source * $parts)::BIGINT) % $parts
        ),
        negative AS (
            SELECT anchor, positive, slot, arg_min(pool.node, attempt) AS node
            FROM attempt
            JOIN pool ON pool.source = attempt.source AND pool.key = attempt.key
                     AND pool.place = floor(spot * size)::BIGINT
            JOIN described n ON n.node = pool.node
            JOIN described a ON a.node = anchor
            JOIN described p ON p.node = positive
            WHERE size > 0 AND n.wording <> a.wording AND n.wording <> p.wording
              AND (attempt.source = 'hard' OR NOT EXISTS (
                    SELECT 1 FROM viewed WHERE viewed.anchor = attempt.anchor AND viewed.other = pool.node))
            GROUP BY ALL
        )
        SELECT row_number() OVER (ORDER BY any_value(place), anchor, positive) - 1 AS row,
               [anchor, positive] || list(node ORDER BY slot) AS products
        FROM negative JOIN chosen USING (anchor, positive)
        GROUP BY anchor, positive HAVING count(*) = $slots
        """,
        {"slots": options.negatives, "parts": len(SOURCES[scheme])},
    )


def write_epochs(
    connection: duckdb.DuckDBPyConnection, scheme: str, options: TextTraining, seed: int, target: Path
) -> None:
    """Mine all epochs into one Arrow file, in order, with one batch of rows in memory at a time.

    Columns: `anchor`, `positive`, `negative_1` and so on, texts; `label`, the products' nodes, and then the lowest
    nodes with the same texts, int64 [2 · (2 + negatives)]. The file appears when it is complete.
    """
    columns = ["anchor", "positive", *(f"negative_{number + 1}" for number in range(options.negatives))]
    texts = ", ".join(f"texts[{place + 1}] AS {name}" for place, name in enumerate(columns))
    staging = target.with_name(f".{target.name}.part")
    schema = pa.schema([*((name, pa.string()) for name in columns), ("label", pa.list_(pa.int64()))])
    with pa.ipc.new_stream(staging, schema) as file:
        for epoch in range(options.epochs):
            mine(connection, scheme, options, seed, epoch)
            rows = connection.sql(
                f"""
                SELECT {texts}, products || wordings AS label
                FROM (
                    SELECT row, any_value(products) AS products, list(wording ORDER BY slot) AS wordings,
                           list(CASE WHEN draw < $translated AND len(other_titles) > 0
                                     THEN concat_ws(': ', path, other_titles[
                                        1 + floor(draw / $translated * len(other_titles))::BIGINT])
                                     ELSE text END ORDER BY slot) AS texts
                    FROM (
                        SELECT *, {_draw("row", "slot", "'title'", pair=False)} AS draw
                        FROM (SELECT row, products, unnest(products) AS node,
                                     generate_subscripts(products, 1) AS slot FROM triplet)
                        JOIN described USING (node)
                    )
                    GROUP BY row
                )
                ORDER BY row
                """,
                params={
                    "seed": seed,
                    "epoch": epoch,
                    "translated": options.translated if scheme == "coview-ml" else 0.0,
                },
            )
            for batch in rows.to_arrow_reader(10_000):
                file.write(batch.cast(schema))
    staging.replace(target)


def _mix(scheme: str) -> str:
    return ", ".join(
        f"({part}, {step}, '{source}')"
        for part, chain in enumerate(SOURCES[scheme])
        for step, source in enumerate(chain)
    )


def _draw(*of: str, pair: bool = True, epoch: bool = True) -> str:
    """Return SQL of a number in [0, 1) that is a function of `of`. DuckDB's own hash mixes its arguments too weakly."""
    parts = ["$seed", *(["$epoch"] if epoch else []), *(["anchor", "other"] if pair else []), *of]
    return f"(md5_number_lower(concat_ws(' ', {', '.join(parts)})) / 18446744073709551616.0)"

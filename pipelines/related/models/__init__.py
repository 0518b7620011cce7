"""The models of the space `related` by name, as `related.recipe` gives it.

A model is one module here: its layers and encoder, `relations` and `plan`. The next one is a module, a line below and
a group in `twinvec.settings.related_models`; data, sampling, training, evaluation, export and release are the same for
all.
"""

from __future__ import annotations

from pipelines.related.models import daemon, gat, lightgcn, paper, sage, twinvec
from pipelines.related.plan import Model

MODELS = {
    "paper": Model(paper.plan, paper.relations),
    "daemon": Model(daemon.plan, daemon.relations),
    "sage": Model(sage.plan, sage.relations),
    "gat": Model(gat.plan, gat.relations),
    "lightgcn": Model(lightgcn.plan, lightgcn.relations, lightgcn.factors),
    "twinvec": Model(twinvec.plan, twinvec.relations),
}

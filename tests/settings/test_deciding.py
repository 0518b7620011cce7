"""What a change of the sampler makes out of date."""

from __future__ import annotations

from twinvec import digest
from twinvec.settings.pipelines import AlignedSettings, RelatedSettings


def test_versions_made_before_there_was_a_choice_of_sampler_stay_up_to_date() -> None:
    # The digests of the default settings when `related.sampler` was `dgl` by default and `aligned` had none.
    assert digest.of_json(AlignedSettings().deciding()) == "e58621c93d6de8b8"
    assert digest.of_json(RelatedSettings().deciding()) == "34b79657ee2605a8"


def test_auto_and_dgl_decide_the_same_and_csr_something_else() -> None:
    for group in (AlignedSettings, RelatedSettings):
        auto, dgl, csr = (group(sampler=name).deciding() for name in ("auto", "dgl", "csr"))
        assert auto == dgl != csr
        assert csr["sampler"] == "csr"

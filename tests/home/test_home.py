"""`twinvec.open` and `Home`: what the command does, from Python."""

from __future__ import annotations

import doctest
from pathlib import Path

import numpy as np
import pytest

import twinvec
import twinvec.home.reading
from twinvec.errors import NotFoundError, SettingsError, StateError

pytestmark = pytest.mark.slow


EXAMPLES = [
    example
    for module in (twinvec.home, twinvec.home.reading)
    for example in doctest.DocTestFinder().find(module)
    if example.examples
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_examples_of_the_docstrings_print_what_they_say(example: doctest.DocTest, home: twinvec.Home) -> None:
    example.globs = {"home": home, "twinvec": twinvec}
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example, clear_globs=False)
    assert result.failed == 0


def test_every_method_has_an_example_or_a_test() -> None:
    names = {example.name.rpartition(".")[2] for example in EXAMPLES}
    public = {name for name in dir(twinvec.Home) if not name.startswith("_")}
    # Those of other releases are tested beside their spaces.
    elsewhere = {"relevance", "sellers", "similar", "transfer"}
    assert public - names - elsewhere == {"close", "rollback", "settings"}


def test_vectors_are_the_same_in_every_form(home: twinvec.Home) -> None:
    vectors = home.vectors("related@v1")
    arrays, tensors, table = vectors.to_numpy(), vectors.to_torch(), vectors.to_arrow()
    assert len(vectors) == table.num_rows == 200
    for name, array in arrays.items():
        assert np.array_equal(tensors[name].numpy(), array)
        assert np.array_equal(np.stack(table[name].to_numpy()), array)
    keys = vectors.keys.to_pylist()
    chosen = home.vectors("related@v1", [keys[7], keys[2]]).to_numpy()
    assert np.array_equal(chosen["source_vector"], arrays["source_vector"][[7, 2]])


def test_errors_name_what_is_wrong(home: twinvec.Home, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no vector of 1 of 2 keys, such as 'nobody'"):
        home.vectors("related", ["nobody", home.vectors("related").keys[0].as_py()])
    with pytest.raises(StateError, match="graph@v1 has no vectors"):
        home.vectors("graph")
    with pytest.raises(StateError, match="one product"):
        home.related()
    with pytest.raises(NotFoundError, match="no release name 'nothing'"):
        home.releases("nothing")
    with pytest.raises(StateError, match="no release of related_products to go back to"):
        home.rollback()
    with pytest.raises(SettingsError, match="no such setting"):
        twinvec.open(tmp_path / "other", related={"dimensions": 3})


def test_train_publish_promote_and_roll_back(home: twinvec.Home) -> None:
    (step,) = [step for step in home.train("related", force=True) if step.made]
    assert step.version is not None
    release = home.publish()
    assert (release.label, release.version.name) == ("related_products@v2", "related@v2")
    assert home.promote().label == "related_products@v2"
    assert home.rollback().label == "related_products@v1"
    assert [str(each.state) for each in home.releases()] == ["live", "retired"]
    home.close()
    assert home.related(home.vectors().keys[0].as_py(), k=1).release == "related_products__v1"

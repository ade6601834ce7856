"""The journal is deleted, put back as it was before, or swapped: a few of the stories of `tests.lost_journals`.

Each is a fault that was found once. All of them: `python -m tests.lost_journals`.
"""

from __future__ import annotations

import pytest

from tests.lost_journals import Matrix, wrong

SHARED = (
    "launching, attach_green | as an hour ago | retiring",  # it took the pins of the next release off, with old sizes
    "soaking | swapped | launching, attach_green",  # blue of another release was unpinned
    "holding | deleted | ",  # two serve, and a person says which
    "between releases | of another account | overlapping",  # what is in no account of ours cannot be looked at
)
WEIGHTED = (
    "soaking | swapped | launching",  # weights that it never moved were given back
    "between releases | as an hour ago | retiring",  # it wrote the sizes of then on what serves
)


@pytest.mark.parametrize(("weighted", "names"), [(False, SHARED), (True, WEIGHTED)], ids=["shared", "weighted"])
def test_a_journal_that_is_lost(weighted: bool, names: tuple[str, ...]) -> None:
    """What serves is not touched, and the next release works after what people are told was done."""
    matrix = Matrix(weighted, names.__contains__, {"an hour ago": 1.0}, (False,))
    told = matrix.play()
    assert [(name, fault) for name, said in told for fault in wrong(said)] == []
    assert {name for name, _ in told} == set(names)

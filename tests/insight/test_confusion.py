"""The confusion matrix against scikit-learn's, and the surest mistakes against sorting."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix as reference

from convsmith.insight.confusion import confusion_matrix
from convsmith.insight.mistakes import most_confident_mistakes

PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60)


@settings(deadline=None)
@given(PAIRS)
def test_the_matrix_is_scikit_learns(pairs):
    labels, guesses = torch.tensor(pairs).T
    found = confusion_matrix(labels, guesses, 5)
    assert found.tolist() == reference(labels, guesses, labels=range(5)).tolist()


@settings(deadline=None)
@given(PAIRS, st.integers(0, 10))
def test_mistakes_are_wrong_and_the_surest_come_first(pairs, count):
    labels, guesses = torch.tensor(pairs).T
    confidences = torch.rand(len(pairs))
    found = most_confident_mistakes(labels, guesses, confidences, count).tolist()
    wrong = [n for n, (label, guess) in enumerate(pairs) if label != guess]
    expected = sorted(wrong, key=lambda n: -confidences[n])[:count]
    assert found == expected

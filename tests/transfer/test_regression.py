"""The logistic regression against scikit-learn's, dense and sparse, and its standardising."""

import numpy as np
import pytest
import torch

from stemma.runs.linear import Dense, Sparse
from stemma.runs.linear_head import sparse_times
from stemma.transfer.regression import fit, fit_rows, standardiser

sklearn_linear = pytest.importorskip("sklearn.linear_model")


def answers(head, design):
    """The head's probabilities on the design (N K)."""
    return head.outputs(design.times(torch.as_tensor(head.weights)).numpy())


def problem(classes, seed=0, n=157, width=11):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, width)) * rng.uniform(0.1, 5, width) + rng.normal(size=width)
    labels = (features[:, :classes] / features[:, :classes].std(0) + rng.normal(size=(n, classes))).argmax(1)
    return features, labels


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("c", [0.01, 1.0, 30.0])
def test_equals_scikit_learn(classes, c):
    features, labels = problem(classes)
    tensor = torch.as_tensor(features)
    mean, scale = standardiser(tensor)
    design = Dense(tensor, mean, scale)
    ours = answers(fit(design, labels, classes, c, steps=1000), design)
    theirs = sklearn_linear.LogisticRegression(C=c, tol=1e-10, max_iter=5000)
    theirs.fit((features - features.mean(0)) / features.std(0), labels)
    expected = theirs.predict_proba((features - features.mean(0)) / features.std(0))
    np.testing.assert_allclose(ours, expected, atol=1e-4)  # both stop at a small gradient, not at zero


def test_float16_cache_gives_the_float32_answer():
    features, labels = problem(3, n=201)
    halves = torch.as_tensor(features).half()
    heads = []
    for tensor in (halves, halves.float()):
        design = Dense(tensor, *standardiser(tensor))
        heads.append(answers(fit(design, labels, 3, 0.1), design))
    np.testing.assert_allclose(heads[0], heads[1], atol=1e-5)


def test_sparse_equals_dense():
    rng = np.random.default_rng(4)
    features = rng.poisson(0.3, size=(90, 17)).astype(np.float32)
    labels = rng.integers(0, 3, 90)
    labels[:3] = [0, 1, 2]
    rows, columns = np.nonzero(features)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=90))])
    sparse = Sparse(starts, columns, features[rows, columns], 17)
    dense = Dense(torch.as_tensor(features), torch.zeros(17), torch.ones(17))
    np.testing.assert_allclose(answers(fit(sparse, labels, 3, 1.0), sparse), answers(fit(dense, labels, 3, 1.0), dense), atol=1e-4)


def test_sparse_products_are_those_of_the_design():
    rng = np.random.default_rng(5)
    features = rng.poisson(0.2, size=(4500, 13)).astype(np.float32)  # more rows than are multiplied at once, some of them empty
    rows, columns = np.nonzero(features)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(features)))])
    assert (np.diff(starts) == 0).any()
    weights = rng.normal(size=(13, 3)).astype(np.float32)
    np.testing.assert_allclose(sparse_times(starts, columns, features[rows, columns], weights), features @ weights, atol=1e-5)


def test_a_constant_feature_is_harmless():
    features, labels = problem(3)
    features[:, 2] = 7.0
    tensor = torch.as_tensor(features)
    design = Dense(tensor, *standardiser(tensor))
    probabilities = answers(fit(design, labels, 3, 1.0), design)
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)


def test_a_warm_start_reaches_the_same_place():
    features, labels = problem(4)
    tensor = torch.as_tensor(features)
    design = Dense(tensor, *standardiser(tensor))
    first = fit(design, labels, 4, 0.1)
    cold, warm = fit(design, labels, 4, 1.0, steps=1000), fit(design, labels, 4, 1.0, start=first, steps=1000)
    np.testing.assert_allclose(answers(cold, design), answers(warm, design), atol=1e-5)


def test_columns_are_regressions_of_their_own():
    """Several labels a text: each column's probabilities are those of scikit-learn's binary model, and sum to nothing."""
    features, labels = problem(3)
    gold = np.stack([labels == 0, labels != 1, features[:, 3] > 0], 1).astype(np.int64)
    tensor = torch.as_tensor(features)
    mean, scale = standardiser(tensor)
    design = Dense(tensor, mean, scale)
    ours = answers(fit_rows(design, gold, 3, 0.5, "logistic"), design)
    for column, expected in zip(ours.T, gold.T, strict=True):
        theirs = sklearn_linear.LogisticRegression(C=0.5, tol=1e-10, max_iter=5000)
        theirs.fit((features - features.mean(0)) / features.std(0), expected)
        np.testing.assert_allclose(column, theirs.predict_proba((features - features.mean(0)) / features.std(0))[:, 1], atol=1e-4)


@pytest.mark.parametrize("c", [0.01, 1.0, 30.0])
def test_ridge_is_that_of_scikit_learn(c):
    features, _ = problem(2)
    numbers = features @ np.linspace(-1, 2, 11) + np.random.default_rng(1).normal(size=len(features)) * 3 + 40
    mean, scale = standardiser(torch.tensor(features))
    theirs = sklearn_linear.Ridge(alpha=1 / c).fit((features - mean.numpy()) / scale.numpy(), (numbers - numbers.mean()) / numbers.std())
    design = Dense(torch.tensor(features), mean, scale)
    head = fit_rows(design, numbers, 0, c, "identity")
    np.testing.assert_allclose(head.weights[:, 0] / numbers.std(), theirs.coef_, atol=1e-7)
    expected = theirs.predict((features - mean.numpy()) / scale.numpy()) * numbers.std() + numbers.mean()
    np.testing.assert_allclose(answers(head, design)[:, 0], expected, rtol=1e-5)


def test_ridge_on_sparse_features_leaves_the_bias_free():
    rng = np.random.default_rng(0)
    table = (rng.random((90, 40)) < 0.1) * rng.random((90, 40))
    numbers = 100 + table @ rng.normal(size=40)
    rows, columns = np.nonzero(table)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=90))])
    head = fit_rows(Sparse(starts, columns, table[rows, columns], 40), numbers, 0, 10.0, "identity")
    theirs = sklearn_linear.Ridge(alpha=0.1).fit(table, (numbers - numbers.mean()) / numbers.std())
    np.testing.assert_allclose(head.weights[:, 0] / numbers.std(), theirs.coef_, atol=1e-4)
    assert head.biases[0] == pytest.approx(theirs.intercept_ * numbers.std() + numbers.mean(), rel=1e-5)


def test_the_softmax_within_groups_is_that_of_plain_descent():
    """Against Newton's steps on the same objective, written out: groups of different sizes, two columns."""
    rng = np.random.default_rng(0)
    features, starts = rng.normal(size=(60, 4)), np.array([0, 2, 7, 10, 20, 33, 60])
    right = np.stack([[rng.integers(0, size) for size in np.diff(starts)] for _ in range(2)], 1)
    design = Dense(torch.tensor(features), torch.zeros(4, dtype=torch.float64), torch.ones(4, dtype=torch.float64))
    head = fit_rows(design, right, 0, 0.7, "within", starts)
    assert head.link == "within" and not head.biases.any()
    for column in range(2):
        w = np.zeros(4)
        for _ in range(30):
            slope, bend = w.copy(), np.eye(4)
            for first, last, place in zip(starts[:-1], starts[1:], right[:, column], strict=True):
                own = features[first:last]
                shares = np.exp(own @ w - (own @ w).max())
                shares /= shares.sum()
                slope += 0.7 * (shares @ own - own[place])
                bend += 0.7 * (own.T @ (shares[:, None] * own) - np.outer(shares @ own, shares @ own))
            w -= np.linalg.solve(bend, slope)
        np.testing.assert_allclose(head.weights[:, column], w, atol=1e-5)

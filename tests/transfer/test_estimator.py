"""scikit-learn's manners, tried with scikit-learn itself."""

import numpy as np
import pytest

from stemma.errors import DataError, UsageError
from stemma.transfer.estimator import StemmaClassifier
from stemma.transfer.settings import Config

pytest.importorskip("sklearn")
from sklearn.base import clone, is_classifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

FAST = Config(precision="fp32", budget=1, grid=(0.3,))


@pytest.fixture(scope="module")
def data(train_examples):
    return np.array([e.text for e in train_examples], dtype=object), np.array([e.label for e in train_examples])


def test_fits_predicts_and_knows_its_classes(bert, data, dev_examples):
    X, y = data
    model = StemmaClassifier(bert, mode="frozen", config=FAST).fit(X, y)
    check_is_fitted(model)
    assert model.classes_.tolist() == ["neg", "pos"]
    texts = [e.text for e in dev_examples]
    assert model.score(texts, [e.label for e in dev_examples]) > 0.75
    np.testing.assert_allclose(model.predict_proba(texts).sum(1), 1, atol=1e-5)
    assert model.transform(texts).shape[0] == len(texts)


def test_labels_of_any_kind(ngram, data):
    X, y = data
    for labels in (np.where(y == "pos", 7, -2), y == "pos", np.where(y == "pos", "好", "差")):
        model = StemmaClassifier(ngram).fit(X, labels)
        assert model.predict(X[:50]).dtype == labels.dtype
        assert (model.predict(X) == labels).mean() > 0.9


def test_clone_pipeline_and_cross_validation(bert, data):
    X, y = data
    model = StemmaClassifier(bert, mode="frozen", config=FAST)
    assert is_classifier(model)
    assert clone(model).run is bert and not hasattr(clone(model), "result_")
    pipeline = Pipeline([("lower", FunctionTransformer(lambda texts: [text.lower() for text in texts])), ("stemma", model)])
    assert pipeline.fit(X, y).score(X, y) > 0.8
    assert cross_val_score(model, X, y, cv=3).mean() > 0.7
    search = GridSearchCV(model, {"mode": ["frozen", "random"]}, cv=2).fit(X, y)
    assert search.best_params_["mode"] in ("frozen", "random")


def test_is_a_transformer_for_another_estimator(bert, data):
    X, y = data
    pipeline = make_pipeline(StemmaClassifier(bert, mode="frozen", config=FAST), LogisticRegression(max_iter=500))
    assert pipeline.fit(X, y).score(X, y) > 0.8


def test_params_round_trip_and_errors(bert):
    model = StemmaClassifier(bert, seed=3)
    assert model.set_params(**model.get_params()).get_params()["seed"] == 3
    with pytest.raises(UsageError, match="mend its name"):
        model.set_params(sed=3)
    with pytest.raises(UsageError, match="call fit"):
        model.predict(["x"])
    with pytest.raises(DataError, match="same length"):
        model.fit(["a"], ["x", "y"])
    assert "bert" in repr(model)

"""scikit-learn's manners, tried with scikit-learn itself."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from tests.corpus.test_task import Columns

import stemma
from stemma.errors import DataError, UsageError
from stemma.transfer.estimator import StemmaClassifier, StemmaRegressor
from stemma.transfer.settings import Config

pytest.importorskip("sklearn")
from sklearn.base import clone, is_classifier, is_regressor
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


def test_a_data_frame_is_read_by_rows(ngram, data):
    X, y = data
    model = StemmaClassifier(ngram).fit(Columns(text=list(X)), y)
    np.testing.assert_array_equal(model.predict(Columns(text=list(X[:9]))), model.predict(X[:9]))  # not the names of its columns
    paired = StemmaClassifier(ngram).fit(Columns(text_a=list(X), text_b=list(X[::-1])), y)
    assert len(paired.predict(Columns(text_a=list(X[:3]), text_b=["好", "", "🙂"]))) == 3
    with pytest.raises(DataError, match=r"y\[0\].*of a data frame frame"):
        StemmaClassifier(ngram).fit(X, Columns(label=list(y)))
    with pytest.raises(DataError, match=r"X\[0\]"):
        model.predict(Columns(a=list(X[:2]), b=list(X[:2]), c=list(X[:2])))


def test_labels_of_any_kind(ngram, data):
    X, y = data
    for labels in (np.where(y == "pos", 7, -2), y == "pos", np.where(y == "pos", "好", "差")):
        model = StemmaClassifier(ngram).fit(X, labels)
        assert model.predict(X[:50]).dtype == labels.dtype
        assert (model.predict(X) == labels).mean() > 0.9


@pytest.mark.parametrize(
    ("labels", "names"),
    [(("x", "y"), ("x", "y")), ((10, 9), ("10", "9")), ((True, False), ("False", "True")), (("好", "差"), ("好", "差"))],
)
def test_a_saved_classifier_keeps_its_labels(ngram, data, tmp_path, labels, names):
    X, y = data
    given = [labels[int(label == "pos")] for label in y]
    model = StemmaClassifier(ngram).fit(X, given)
    model.save(tmp_path / "saved")
    again = stemma.load(tmp_path / "saved")
    assert again.labels == model.result_.labels == tuple(sorted(map(str, labels))) and set(names) == set(again.labels)
    assert again.predict(X[:40])[0] == [str(label) for label in model.predict(X[:40]).tolist()]
    columns = [again.labels.index(str(label)) for label in model.classes_.tolist()]
    np.testing.assert_array_equal(again.predict(X[:40])[1][:, columns], model.predict_proba(X[:40]))


@pytest.mark.parametrize("mode", ["frozen", "finetune"])
def test_fitted_estimators_pickle_and_joblib(run, data, mode, tmp_path):
    import joblib

    X, y = data
    model = StemmaClassifier(run, mode=mode, config=replace(FAST, updates=2, epochs=1)).fit(X[:40], y[:40])
    joblib.dump(model, tmp_path / "model")
    for copy in (pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "model")):
        np.testing.assert_array_equal(copy.predict_proba(X[:9]), model.predict_proba(X[:9]))
        np.testing.assert_array_equal(copy.classes_, model.classes_)


@pytest.mark.parametrize(
    ("X", "y", "wrong"),
    [
        (["a", "b"], ["x", float("nan")], r"y\[1\] is nan"),
        (["a", "b"], ["x", None], r"y\[1\] is None"),
        (["a", "b"], ["x", object()], r"y\[1\] is <object"),
        (["a", None], ["x", "y"], r"X\[0\]|X\[1\] is None"),
        ([["the", "good", "film"], ["a", "b", "c"]], ["x", "y"], "join tokens with spaces"),
        (["a", ("a", "b")], ["x", "y"], "pairs of two texts alone"),
        (["a", "b"], [["x"], ["y"]], "one column"),
        (["a", "b"], ["x", "x "], "rename them"),
    ],
)
def test_what_is_no_text_or_no_label_is_named(ngram, X, y, wrong):
    with pytest.raises(DataError, match=wrong):
        StemmaClassifier(ngram).fit(X, y)


def test_a_bare_string_and_a_misspelt_mode_are_refused(ngram, data):
    X, y = data
    with pytest.raises(UsageError, match="one string"):
        StemmaClassifier(ngram).fit("abcdefgh", y[:8])
    with pytest.raises(UsageError, match="did you mean 'frozen'"):
        StemmaClassifier(ngram, mode="froozen").fit(X, y)
    with pytest.raises(UsageError, match=r"transfer\.seeds"):
        StemmaClassifier(ngram, mode="frozen", seed=-1).fit(X, y)
    fitted = StemmaClassifier(ngram).fit(X, y)
    with pytest.raises(UsageError, match="one string"):
        fitted.predict("good")


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


def test_the_regressor_fits_and_predicts_numbers(ngram, data):
    X, y = data
    numbers = np.where(y == "pos", 3.5, -1.0)
    model = StemmaRegressor(ngram, mode="frozen").fit(X, numbers)
    assert is_regressor(model) and model.predict(X[:5]).shape == (5,) and model.score(X, numbers) > 0.3
    assert cross_val_score(clone(model), X[:60], numbers[:60], cv=2).shape == (2,)
    for wrong in (["much"], [None], [float("nan")], [True]):
        with pytest.raises(DataError, match="a number for every text"):
            StemmaRegressor(ngram).fit(["a"], wrong)

"""Labels with a hierarchy behind ``fit`` and ``predict``: every form of both, nothing incoherent, stopping at a parent, saving."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from polytag import DeepMultiLabelClassifier, Hierarchy
from polytag.errors import DataError, ParameterError
from polytag.estimators.hierarchical import coherent, mended
from polytag.training import checkpoint, decide

NAMES = ("animal", "plant", "animal/cat", "animal/dog", "plant/tree")
PAIRS = [("animal", "animal/cat"), ("animal", "animal/dog"), ("plant", "plant/tree")]
PARENTS = {"animal": None, "plant": None, "animal/cat": "animal", "animal/dog": "animal", "plant/tree": "plant"}
LEAVES = ["animal/cat", "animal/dog", "plant/tree", "plant"]
TREE = Hierarchy.from_edges(PAIRS, NAMES)


def make(n: int = 160, seed: int = 0) -> tuple[np.ndarray, list[list[str]], pd.DataFrame]:
    """Return rows with one or two labels that are easy to tell, as paths and as a closed table of columns."""
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 4, n), rng.integers(0, 4, n)
    X = rng.normal(size=(n, 6))
    X[np.arange(n), first] += 5
    X[np.arange(n), second] += 5
    rows = [
        sorted({LEAVES[a], LEAVES[b]} - ({"plant"} if "plant/tree" in (LEAVES[a], LEAVES[b]) else set())) for a, b in zip(first, second)
    ]
    Y = np.array([[any(path == name or path.startswith(f"{name}/") for path in row) for name in NAMES] for row in rows], dtype=int)
    return X, rows, pd.DataFrame(Y, columns=list(NAMES))


def quick(**params) -> DeepMultiLabelClassifier:
    return DeepMultiLabelClassifier(
        **{
            "model": "linear",
            "epochs": 40,
            "lr": 0.1,
            "random_state": 0,
            "batch_size": 32,
            "scale": "none",
            "validation_fraction": 0,
            **params,
        }
    )


def accuracy(found: list[list[str]], rows: list[list[str]]) -> float:
    return float(np.mean([sorted(a) == sorted(b) for a, b in zip(found, rows)]))


FORMS = {
    "lists": lambda rows: rows,
    "joined": lambda rows: ["@".join(row) for row in rows],
    "series": lambda rows: pd.Series(["@".join(row) for row in rows], index=np.arange(len(rows)) + 7),
    "objects": lambda rows: np.array(["@".join(row) for row in rows], dtype=object),
}


@pytest.mark.parametrize("form", FORMS)
def test_paths_come_back_as_lists_of_the_most_specific_ones(form: str) -> None:
    X, rows, frame = make()
    fitted = quick(hierarchy="/").fit(X, FORMS[form](rows))
    assert fitted.hierarchy_ == TREE
    assert fitted.label_names_ == NAMES
    found = fitted.predict(X)
    assert accuracy(found, rows) > 0.9
    np.testing.assert_array_equal(fitted.predict_proba(X), quick(hierarchy=TREE).fit(X, frame).predict_proba(X))


def test_levels_in_columns_are_read_too() -> None:
    X, rows, _ = make()
    levels = [[*row[0].split("/"), ""][:2] for row in rows]
    for given in (np.array(levels, dtype=object), np.array(levels), pd.DataFrame(levels)):
        fitted = quick(hierarchy="/", epochs=2).fit(X, given)
        assert set(fitted.label_names_) == set(NAMES)
        assert isinstance(fitted.predict(X[:1])[0], list)


@pytest.mark.parametrize("form", ["hierarchy", "dict", "pairs", "parents", "file", "path", "separator"])
def test_whatever_describes_the_hierarchy_gives_the_same(form: str, tmp_path: Path) -> None:
    X, rows, frame = make()
    file = tmp_path / "tree.csv"
    file.write_text("node,parent\n" + "".join(f"{node},{parent or ''}\n" for node, parent in PARENTS.items()), encoding="utf-8")
    described = {"hierarchy": TREE, "dict": TREE.to_dict(), "pairs": PAIRS, "parents": PARENTS, "file": str(file), "path": file}
    given = {**described, "separator": "/"}[form]
    shuffled = frame[["plant", "animal/dog", "animal", "plant/tree", "animal/cat"]]
    fitted = quick(hierarchy=given).fit(X, shuffled)
    assert fitted.hierarchy_ == TREE.ordered(list(shuffled.columns))
    out = fitted.predict(X)
    assert list(out.columns) == list(shuffled.columns)
    assert (out.to_numpy() == shuffled.to_numpy()).mean() > 0.95
    named = quick(hierarchy=given).fit(X, rows)
    assert accuracy(named.predict(X), rows) > 0.9


def test_arrays_take_the_order_of_the_hierarchy() -> None:
    X, _, frame = make()
    for given in (frame.to_numpy(), sparse.csr_array(frame.to_numpy())):
        fitted = quick(hierarchy=TREE).fit(X, given)
        assert fitted.label_names_ == NAMES
        assert type(fitted.predict(X)) is type(given)
    with pytest.raises(DataError, match="the hierarchy speaks of names"):
        quick(hierarchy=PAIRS).fit(X, frame.to_numpy())
    with pytest.raises(DataError, match="for each of the 5 labels of the hierarchy, but got 4"):
        quick(hierarchy=TREE).fit(X, frame.to_numpy()[:, :4])


def test_labels_that_are_not_closed_are_closed_and_counted() -> None:
    X, _, frame = make()
    missing = (frame["animal"] == 1) & (np.arange(len(frame)) % 4 == 0)
    broken = frame.copy()
    broken.loc[missing, "animal"] = 0
    cells = int(missing.sum())
    assert cells > 10
    for given in (broken, sparse.csr_array(broken.to_numpy())):
        with pytest.warns(UserWarning, match=f"{cells} ancestors were added to {cells} of {len(frame)} rows"):
            fitted = quick(hierarchy=TREE).fit(X, given)
        assert fitted.closed_ == cells
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            whole = quick(hierarchy=TREE).fit(X, frame)
        assert whole.closed_ == 0
        np.testing.assert_array_equal(fitted.predict_proba(X), whole.predict_proba(X))


def test_an_unknown_parent_of_a_present_label_becomes_known() -> None:
    X, _, frame = make()
    unknown = frame.astype(float)
    unknown.loc[frame["animal"] == 1, "animal"] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = quick(hierarchy=TREE).fit(X, unknown)
    np.testing.assert_array_equal(fitted.predict_proba(X), quick(hierarchy=TREE).fit(X, frame).predict_proba(X))


@pytest.mark.parametrize("closure", ["up", "down", "product"])
@pytest.mark.parametrize("threshold", [0.5, 0.2, "label_f1", "level_f1", {1: 0.3, 2: 0.7}, np.array([0.9, 0.1, 0.4, 0.2, 0.6])])
def test_nothing_contradicts_the_hierarchy(closure: str, threshold) -> None:
    X, _, frame = make()
    noisy = np.random.default_rng(1).normal(size=(400, 6)) * 4
    fitted = quick(hierarchy=TREE, closure=closure, threshold=threshold, epochs=3).fit(X, frame)
    for scores in (fitted.decision_function(noisy), fitted.predict_proba(noisy)):
        assert np.isfinite(scores).all()
        child, parent = TREE.edges.T
        assert (scores[:, child] <= scores[:, parent]).all()
    predicted = fitted.predict(noisy)
    assert not TREE.violations(predicted.to_numpy()).any()
    assert predicted.to_numpy().any()


def test_without_closure_the_network_is_left_as_it_is() -> None:
    X, _, frame = make()
    noisy = np.random.default_rng(1).normal(size=(400, 6)) * 4
    raw, plain = quick(hierarchy=TREE, closure=None, epochs=3).fit(X, frame), quick(epochs=3).fit(X, frame)
    np.testing.assert_array_equal(raw.predict_proba(noisy), plain.predict_proba(noisy))
    assert TREE.violations(raw.predict(noisy).to_numpy()).any()
    up = quick(hierarchy=TREE, epochs=3).fit(X, frame)
    np.testing.assert_array_equal(up.decision_function(noisy), TREE.constrain(raw.decision_function(noisy), "up"))
    product = quick(hierarchy=TREE, closure="product", epochs=3).fit(X, frame)
    np.testing.assert_allclose(product.predict_proba(noisy), TREE.constrain(raw.predict_proba(noisy), "product"), rtol=1e-9)
    with pytest.raises(ParameterError, match="closure to be 'up'"):
        quick(hierarchy=TREE, closure="sideways").fit(X, frame)


def test_products_of_extreme_logits_stay_finite_and_in_line() -> None:
    logits = np.array([[800.0, -800.0, 800.0, -800.0, 40.0], [-800.0, 60.0, 800.0, 3.0, 60.0]])
    found = coherent(logits, TREE, "product")
    assert np.isfinite(found).all()
    child, parent = TREE.edges.T
    assert (found[:, child] <= found[:, parent]).all()


def test_a_prediction_stops_at_a_parent_where_it_is_unsure() -> None:
    X, _, _ = make()
    rng = np.random.default_rng(3)
    kind = rng.integers(0, 2, len(X))
    rows = [["animal/cat", "animal/dog"][k] for k in kind]  # the features do not say which
    X = rng.normal(size=X.shape) + 2
    sure = quick(hierarchy="/", threshold=0.5).fit(X, rows).predict(X)
    careful = quick(hierarchy="/", threshold={1: 0.5, 2: 0.95}).fit(X, rows).predict(X)
    assert sure.count(["animal"]) < 0.2 * len(X)
    assert careful.count(["animal"]) > 0.8 * len(X)
    with pytest.raises(ParameterError, match="levels 1 to 2"):
        quick(hierarchy="/", threshold={1: 0.5}).fit(X, rows)


@pytest.mark.parametrize("labels", ["paths", "frame", "array", "sparse"])
@pytest.mark.parametrize("model", ["linear", "chmcnn"])
def test_saved_and_loaded_predicts_the_same(labels: str, model: str, tmp_path: Path) -> None:
    X, rows, frame = make()
    given = {"paths": rows, "frame": frame, "array": frame.to_numpy(), "sparse": sparse.csr_array(frame.to_numpy())}[labels]
    hierarchy = {"paths": "/", "frame": PAIRS}.get(labels, TREE)
    fitted = quick(model=model, hierarchy=hierarchy, threshold={1: 0.4, 2: 0.6}, epochs=4, lr=0.01).fit(X, given)
    fitted.save(tmp_path / "model")
    loaded = DeepMultiLabelClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    assert loaded.hierarchy_ == fitted.hierarchy_ == TREE
    assert loaded.closed_ == fitted.closed_
    expected, got = fitted.predict(X), loaded.predict(X)
    if labels == "frame":
        pd.testing.assert_frame_equal(got, expected)
    elif labels == "paths":
        assert got == expected
    else:
        assert (got != expected).sum() == 0
    again = clone(loaded).fit(X, given)
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))


def test_cuts_that_part_a_label_from_its_parent() -> None:
    X, _, frame = make()
    cuts = np.where(TREE.levels == 1, 0.99, 0.2)
    found = {how: quick(hierarchy=TREE, threshold=cuts, closure=how).fit(X, frame.to_numpy()) for how in ("up", "down", None)}
    above = {how: fitted.predict_proba(X) > cuts for how, fitted in found.items()}
    assert TREE.violations(above["up"].astype(int)).any()
    np.testing.assert_array_equal(found["up"].predict(X), TREE.close(above["up"].astype(int)))
    np.testing.assert_array_equal(found["down"].predict(X), TREE.mend(above["down"], "down"))
    np.testing.assert_array_equal(found[None].predict(X), above[None])
    levels = quick(hierarchy=TREE, threshold={1: 0.99, 2: 0.2}, closure=None).fit(X, frame.to_numpy())
    np.testing.assert_array_equal(levels.predict(X), TREE.mend(above[None], "down"))  # cuts of levels stop at a parent by themselves


@pytest.mark.parametrize(
    ("threshold", "hierarchy", "message"),
    [("f2", None, "no threshold rule called 'f2'"), ("level_f1", None, "knows of none"), ({1: 0.5}, None, "knows of none"),
     ([0.5, 0.5], None, "expected one cut or"), ({1: 0.5}, TREE, "levels 1 to 2")],
)  # fmt: skip
def test_a_threshold_that_does_not_fit_is_refused_before_training(
    threshold, hierarchy, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, _, frame = make()
    monkeypatch.setattr("polytag.training.Trainer.fit", lambda *args, **kwargs: pytest.fail("trained"))
    with pytest.raises((ParameterError, KeyError), match=message):
        quick(threshold=threshold, hierarchy=hierarchy).fit(X, frame.to_numpy())


@pytest.mark.parametrize(("model", "hierarchy"), [("chmcnn", "/"), ("local", "/"), ("role", None)])
def test_a_network_inside_is_rebuilt_as_it_read_the_data(model: str, hierarchy: str | None, tmp_path: Path) -> None:
    X, rows, frame = make()
    words = (X > 0).astype(float)  # read as lists of features, which a table without rows would not say
    fitted = quick(model=model, hierarchy=hierarchy, model_params={"network": "xmlcnn"}, epochs=2)
    fitted.fit(words, rows if hierarchy else frame).save(tmp_path / "model")
    loaded = DeepMultiLabelClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(words), fitted.predict_proba(words))


@pytest.mark.parametrize(
    ("model", "params"),
    [("chmcnn", {"network": "mlp"}), ("local", {"network": "tabm", "network_params": {"k": 2}}), ("hcal", {"encoder": "mlp"})],
)
def test_texts_become_a_table_for_a_network_inside_that_reads_one(model: str, params: dict) -> None:
    texts = [name.replace("/", " ") for name in NAMES] * 8
    model = quick(model=model, model_params=params, hierarchy="/", epochs=2).fit(texts, [[name] for name in NAMES] * 8)
    assert model.predict_proba(texts[:5]).shape == (5, 5)


def test_files_of_earlier_versions_are_read(tmp_path: Path) -> None:
    X, _, frame = make()
    fitted = quick().fit(X, frame)
    fitted.save(tmp_path / "model")
    state = checkpoint.load(tmp_path / "model")
    for name in ("hierarchy", "closed"):
        state.pop(name)
    for name in ("hierarchy", "closure"):
        state["params"].pop(name)
    checkpoint.save(tmp_path / "old", {**state, "format": 4})
    loaded = DeepMultiLabelClassifier.load(tmp_path / "old")
    assert loaded.hierarchy_ is None
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))


def test_models_that_need_a_hierarchy_get_it_and_say_so_without_one() -> None:
    X, rows, frame = make()
    fitted = quick(model="chmcnn", hierarchy="/", lr=0.01).fit(X, rows)
    assert accuracy(fitted.predict(X), rows) > 0.8
    with pytest.raises(DataError, match="expected labels with a hierarchy"):
        quick(model="chmcnn").fit(X, frame)


def test_models_that_decide_by_themselves_are_asked(tmp_path: Path) -> None:
    X, _, frame = make()
    fitted = quick(model="bpmll", epochs=10, lr=0.05).fit(X, frame)
    table = fitted._rows(X)
    decided = decide(fitted.model_, table, precision="float64")
    np.testing.assert_array_equal(fitted.predict(X).to_numpy(), decided)
    assert (decided != (fitted.predict_proba(X) > 0.5)).any()
    fitted.save(tmp_path / "model")
    np.testing.assert_array_equal(DeepMultiLabelClassifier.load(tmp_path / "model").predict(X), decided)
    for threshold in (0.4, "f1"):
        cut = quick(model="bpmll", epochs=10, lr=0.05, threshold=threshold).fit(X, frame)
        np.testing.assert_array_equal(cut.predict(X), cut.predict_proba(X) > cut.threshold_)
    known = quick(model="bpmll", epochs=10, lr=0.05, hierarchy=TREE).fit(X, frame)
    np.testing.assert_array_equal(known.predict(X).to_numpy(), mended(decided, TREE, "up"))


def test_own_decisions_are_mended_up_or_down() -> None:
    sets = np.array([[0, 0, 1, 0, 0], [1, 1, 0, 0, 1]], dtype=bool)
    assert mended(sets, TREE, "up").astype(int).tolist() == [[1, 0, 1, 0, 0], [1, 1, 0, 0, 1]]
    for closure in ("down", "product"):
        assert mended(sets, TREE, closure).astype(int).tolist() == [[0, 0, 0, 0, 0], [1, 1, 0, 0, 1]]
    assert mended(sets, TREE, None) is sets
    assert mended(sets, None, "up") is sets


def test_single_nodes_disconnected_parts_and_enhancement() -> None:
    X, rows, frame = make()
    one = quick(hierarchy=Hierarchy(("animal",), np.zeros((0, 2)))).fit(X, frame[["animal"]])
    assert list(one.predict(X).columns) == ["animal"]
    lonely = Hierarchy.from_edges(PAIRS[:1], NAMES)
    assert quick(hierarchy=lonely).fit(X, frame).hierarchy_ == lonely
    enhanced = quick(hierarchy="/", enhance="flem", epochs=2).fit(X, rows)
    assert enhanced.label_distributions(X, rows).shape == (len(rows), 5)
    nothing = quick(hierarchy="/", threshold=0.999999, epochs=1).fit(X, rows).predict(X[:3])
    assert nothing == [[], [], []]


def test_works_in_searches() -> None:
    X, _, frame = make()
    search = GridSearchCV(quick(hierarchy=TREE, epochs=3), {"closure": ["up", "product"]}, cv=2, scoring="f1_macro").fit(X, frame)
    assert search.best_params_["closure"] in ("up", "product")


@pytest.mark.parametrize(
    ("hierarchy", "columns", "said"),
    [
        (PAIRS, [*NAMES, "stone"], None),
        (TREE, [*NAMES[:4], "stone"], r"lacks \['stone'\] and has \['plant/tree'\]"),
        (PARENTS, [*NAMES, "stone"], r"lacks \['stone'\]"),
        ([*PAIRS, ("plant", "plant/moss")], list(NAMES), "'plant/moss' is none of them"),
        ("/", ["animal/cat", "animal/dog", "plant"], "'animal'"),
        ([*PAIRS, ("animal/cat", "animal")], list(NAMES), "without cycles"),
    ],
)
def test_what_does_not_fit_is_explained(hierarchy, columns: list[str], said: str | None) -> None:
    X, _, _ = make()
    Y = pd.DataFrame(np.tile(np.eye(len(columns), dtype=int), (40, 1))[: len(X)], columns=columns)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if said is None:
            assert quick(hierarchy=hierarchy, epochs=1).fit(X, Y).hierarchy_.q == len(columns)
            return
        with pytest.raises(DataError, match=said):
            quick(hierarchy=hierarchy, epochs=1).fit(X, Y)


def test_bad_paths_are_explained() -> None:
    X, rows, _ = make()
    with pytest.raises(DataError, match="'animal//cat'"):
        quick(hierarchy="/").fit(X, ["animal//cat", *rows[1:]])
    with pytest.raises(DataError, match="row 0 has 'fish'"):
        quick(hierarchy=TREE).fit(X, [["fish"], *rows[1:]])
    with pytest.raises(DataError, match="inconsistent numbers of samples"):
        quick(hierarchy="/").fit(X, rows[1:])
    with pytest.raises(DataError, match=r"whose names are paths|speaks of names"):
        quick(hierarchy="/").fit(X, np.zeros((len(X), 3)))


@parametrize_with_checks([DeepMultiLabelClassifier("linear", epochs=4, lr=0.1, batch_size=16, closure="down", random_state=0)])
def test_scikit_learn_checks(estimator, check) -> None:
    if check.func.__name__ in ("check_classifiers_train", "check_classifiers_classes"):
        pytest.skip("needs more epochs; tests/estimators/test_deep.py runs it")
    check(estimator)

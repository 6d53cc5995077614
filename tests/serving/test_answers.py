"""What the server answers is what `stemma.load` answers offline, whoever else asks at the same time."""

import asyncio
import json
import random

import numpy as np
import pytest
from tests.serving.conftest import CHINESE, ENGLISH, ask, fitted, pretrained, run_async, served, texts

import stemma
from stemma.lineage.table import TABLE
from stemma.runs.decoding import Decoding
from stemma.runs.masks import Masks

CLOSE = 1e-5  # of numbers of order one: what padding and company may change in single precision
READY = [row for row in TABLE if row.ready]
rows = pytest.mark.parametrize("row", READY, ids=lambda row: row.name)
ROUTES = {"score", "generate", "fill", "nearest", "embed", "translate", "attend"}


def one_by_one(run, route, some):
    """The oracle: each text by itself, through the calls of Python."""
    if route == "embed":
        return [run.embed([text])[0] for text in some]
    if route == "score":
        return [run.score([text])[0].nats for text in some]
    if route == "fill":
        return [[p for _, p in mask] for text in some for mask in run.fill(text, k=3)]
    if route == "generate":
        return [run.generate(text, length=6, seed=5) for text in some]
    if route == "translate":
        return [run.translate(text, options=Decoding(beams=4)) for text in some]
    if route == "nearest":
        return [[cosine for _, cosine in run.nearest(text, k=3)] for text in some]
    return [[head.weights for head in run.attend(*pair_of(run, text))] for text in some]


def pair_of(run, text):
    return (text, "ein rotes Haus") if "translate" in run.row.abilities else (text,)


def inputs_for(run, route, some):
    """Texts that the route takes of this run."""
    if route == "fill":
        return [f"{text} [MASK] {text} [MASK]" for text in some]
    if route == "nearest":
        return ["sea", "雨" if "雨" in run else "rain", "sea + rain"]
    return [text for text in some if text] if route in ("attend", "translate", "generate") else some


def answered(route, row):
    """The numbers or texts of a row of the server, as the oracle gives them."""
    if route == "embed":
        return row["vector"]
    if route == "score":
        return row["nats"]
    if route == "fill":
        return [[found["probability"] for found in mask] for mask in row["masks"]]
    if route == "nearest":
        return [found["cosine"] for found in row["nearest"]]
    if route == "attend":
        return [head["weights"] for head in row["heads"]]
    return row["text"] if route == "generate" else row["translation"]


@rows
def test_a_run_of_every_generation_answers_as_it_does_offline(row, home):
    run = stemma.load(pretrained(row.name, home))
    options = {"fill": {"k": 3}, "generate": {"length": 6, "seed": 5}, "nearest": {"k": 3}}

    async def compared():
        async with served([str(run.path)]) as client:
            (told,) = (await client.get("/v1/models")).json()["data"]
            assert set(told["abilities"]) - {"tokens", "masks"} == set(row.abilities) - {"transfer"}
            assert (told["generation"], told["title"], told["task"]) == (row.name, row.title, None)
            assert told["doubts"] == [doubt._asdict() for doubt in run.doubts]
            for route in ROUTES & set(row.abilities):
                some = inputs_for(run, route, [*texts(6), ENGLISH[0], CHINESE[0]])
                sent = [list(pair_of(run, text)) for text in some] if route == "attend" else some
                found = await ask(client, f"/v1/{route}", inputs=sent, **options.get(route, {}))
                own = [answered(route, one) for one in found["outputs"]]
                own = [mask for one in own for mask in one] if route == "fill" else own
                expected = one_by_one(run, route, some)
                assert len(own) == len(expected)
                for ours, theirs in zip(own, expected, strict=True):
                    if route in ("generate", "translate"):
                        assert ours == theirs
                    elif route == "attend":
                        assert all(np.allclose(a, b, atol=CLOSE) for a, b in zip(ours, theirs, strict=True))
                    else:
                        np.testing.assert_allclose(ours, theirs, rtol=CLOSE, atol=CLOSE)
            if "embed" in row.abilities:
                assert told["layers"] == len(run.widths)
                for layer in (0, -1):
                    found = await ask(client, "/v1/embed", inputs=[f" {ENGLISH[0]}", CHINESE[0]], layer=layer, tokens=True)
                    for one, theirs in zip(found["outputs"], run.vectors([f" {ENGLISH[0]}", CHINESE[0]]), strict=True):
                        assert [(token["start"], token["end"]) for token in one["by_token"]] == theirs.spans
                        own = [token["vector"] for token in one["by_token"]]
                        np.testing.assert_allclose(own, theirs.layers[layer], rtol=CLOSE, atol=CLOSE)
            if "masks" in told["abilities"]:
                for seed in (0, 3):
                    (found,) = (await ask(client, "/v1/masks", inputs=ENGLISH[0], seed=seed))["outputs"]
                    assert found == json.loads(json.dumps(next(Masks.open(run.path).of([ENGLISH[0]], seed)).row()))
            assert ("masks" in told["abilities"]) == (row.name in ("bert", "bert-wwm", "albert", "tinybert"))
            cut = (await ask(client, "/v1/tokens", inputs=ENGLISH[0]))["outputs"][0]
            assert cut["ids"] == run.tokenizer.encode(ENGLISH[0]).tolist()

    run_async(compared)


FITTED = ["bert-topics", "bert-frozen", "word2vec-frozen", "ngram-topics", "ngram-frozen", "gpt-pairs", "elmo-frozen", "bert-numbers"]


@pytest.mark.parametrize("name", FITTED)
def test_a_fine_tuned_run_answers_as_it_does_offline(name, home):
    run = stemma.load(fitted(name, home))
    paired = len(run.task.parts(run.targets)) == 2
    some = [[text or "a", other or "b"] for text in texts(4) for other in texts(3)] if paired else [*texts(20), "rain " * 200]

    async def compared():
        async with served([str(home / name)]) as client:
            found = await ask(client, "/v1/predict", inputs=some)
            vectors = await ask(client, "/v1/embed", inputs=some, normalise=True)
            (told,) = (await client.get("/v1/models")).json()["data"]
        assert told["doubts"] == [doubt._asdict() for doubt in run.doubts]
        assert not told["doubts"] or told["doubts"][0]["kind"] == "floor"
        for row, vector, sent in zip(found["outputs"], vectors["outputs"], some, strict=True):
            parts = [[part] for part in sent] if paired else [[sent]]
            (label,), numbers = run.predict(*parts)
            if "number" in row:
                assert row["number"] == pytest.approx(label, abs=CLOSE * 10)
            else:
                assert row["label"] == label
                wide = 10 if "frozen" in name else 1  # a head on features that hardly vary in so few examples divides by next to nothing
                np.testing.assert_allclose(list(row["probabilities"].values()), numbers[0], atol=wide * CLOSE)
            assert np.linalg.norm(vector["vector"]) == pytest.approx(1, abs=1e-4)
        assert found["truncated"][-1] == ("tokens_cut" in found["outputs"][-1])

    run_async(compared)


def test_what_is_cut_off_is_told(home):
    async def compared():
        async with served([str(fitted("bert-topics", home))]) as client:
            found = await ask(client, "/v1/predict", inputs=["the sea", "rain " * 300])
            metrics = (await client.get("/metrics")).text
        assert found["truncated"] == [False, True]
        assert found["outputs"][1]["tokens_cut"] > 100
        assert 'stemma_truncated_inputs_total{model="bert-topics"} 1.0' in metrics
        assert sum(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith("stemma_predictions_total")) == 2

    run_async(compared)


@pytest.mark.parametrize(
    ("name", "route"), [("bert-topics", "predict"), ("bert", "embed"), ("gpt", "score"), ("xlnet", "fill"), ("elmo", "embed")]
)
@pytest.mark.parametrize("callers", [1, 8])
def test_company_changes_no_answer(name, route, callers, home):
    """Requests of 1 to 5 texts in random order; each answer is the text's own, in its place."""
    path = fitted(name, home) if "-" in name else pretrained(name, home)
    run = stemma.load(path)
    some = inputs_for(run, route, texts(40)) if route != "predict" else texts(40)
    draws = random.Random(3)

    async def compared():
        async with served([str(path)], wait_ms=5) as client:
            alone = {text: (await ask(client, f"/v1/{route}", inputs=text))["outputs"][0] for text in some}
            turns = asyncio.Semaphore(callers)
            together = []

            async def one():
                sent = draws.choices(some, k=draws.randint(1, 5))
                async with turns:
                    found = await ask(client, f"/v1/{route}", inputs=sent)
                for text, row in zip(sent, found["outputs"], strict=True):
                    same(row, alone[text])

            await asyncio.gather(*(one() for _ in range(40)))
            metrics = (await client.get("/metrics")).text
            together += [float(line.split()[-1]) for line in metrics.splitlines() if line.startswith("stemma_batch_inputs_count")]
        assert callers == 1 or name == "elmo" or together[0] < 40 + len(some)  # some were computed together

    run_async(compared)


def same(row, other):
    """Equal labels and texts, and numbers within CLOSE."""
    assert row.keys() == other.keys()
    for key, value in row.items():
        if isinstance(value, float):
            assert value == pytest.approx(other[key], rel=CLOSE, abs=CLOSE)
        elif key in ("vector", "probabilities"):
            mine, theirs = (list(one.values()) if isinstance(one, dict) else one for one in (value, other[key]))
            np.testing.assert_allclose(mine, theirs, atol=CLOSE)
        elif key == "masks":
            for mine, theirs in zip(value, other[key], strict=True):
                np.testing.assert_allclose([one["probability"] for one in mine], [one["probability"] for one in theirs], atol=CLOSE)
        else:
            assert value == other[key], key


def test_the_command_line_gives_the_same_rows(home, capsys):
    import json

    from stemma.cli.main import main

    path = str(fitted("bert-topics", home))
    some = [*ENGLISH, *CHINESE, "🙂"]
    assert main(["predict", path, "--json", *(word for text in some for word in ("--text", text))]) == 0
    expected = json.loads(capsys.readouterr().out)

    async def compared():
        async with served([path]) as client:
            return (await ask(client, "/v1/predict", inputs=some))["outputs"]

    for row, other in zip(run_async(compared), expected, strict=True):
        same(row, other)


def test_places_count_the_text_as_it_was_sent(home):
    """Blanks and invisible characters before and in the text are not read, but counted."""
    text = " \u0000 The\u0000 sea 🙂 sleeps 老水"

    async def compared():
        async with served([str(fitted("lstm-tags", home)), str(fitted("bert-answers", home))]) as client:
            tagged = (await ask(client, "/v1/predict", model="lstm-tags", inputs=text))["outputs"][0]
            cut = (await ask(client, "/v1/tokens", model="bert-answers", inputs=text))["outputs"][0]
            passage = "  大海很老。\u0000The sea is old."
            found = (await ask(client, "/v1/predict", model="bert-answers", inputs=[["What is old?", passage]]))["outputs"][0]
        assert [text[word["start"] : word["end"]].replace("\u0000", "") for word in tagged["words"]] == [
            word["word"] for word in tagged["words"]
        ]
        assert text[cut["spans"][0][0] : cut["spans"][0][1]].lower().replace("\u0000", "").startswith("t")
        for best in found["best"]:
            assert passage[best["start"] : best["end"]].replace("\u0000", "") == best["answer"]

    run_async(compared)


def test_one_fault_is_one_text_s_own(home):
    async def compared():
        async with served([str(pretrained("bert", home)), str(fitted("bert-pairs", home))]) as client:
            found = await ask(client, "/v1/fill", model="bert", inputs=["no mask", "the [MASK]", "sea " * 200 + "[MASK]"])
            assert ["error" in row for row in found["outputs"]] == [True, False, True]
            assert found["outputs"][0]["error"].keys() == {"wrong", "expected", "mend"}
            pairs = await ask(client, "/v1/predict", model="bert-pairs", inputs=["alone", ["the", "sea"], "a\tb"])
            assert ["error" in row for row in pairs["outputs"]] == [True, False, False]
            for body in ({"inputs": "no mask"}, {"inputs": ["the [MASK]", "none"], "strict": True}):
                fault = await ask(client, "/v1/fill", 422, model="bert", **body)
                assert fault["error_type"] == "validation" and "[MASK]" in fault["error"]

    run_async(compared)


def test_a_hugging_face_folder_is_served_as_it_is(home, tmp_path, capsys):
    from stemma.cli.main import main

    path = pretrained("bert", home)
    assert main(["convert", str(path), str(tmp_path / "hf"), "--to", "huggingface"]) == 0
    capsys.readouterr()

    async def compared():
        async with served([f"own={path}", f"hf={tmp_path / 'hf'}"]) as client:
            own, foreign = [(await ask(client, "/v1/embed", model=name, inputs=["the sea", "大海"]))["outputs"] for name in ("own", "hf")]
            told = (await client.get("/v1/models/hf")).json()
        np.testing.assert_allclose([row["vector"] for row in foreign], [row["vector"] for row in own], atol=CLOSE)
        assert told["parameters"] > 1000 and "fill" in told["abilities"]

    run_async(compared)

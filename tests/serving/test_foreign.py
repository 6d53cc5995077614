"""The routes of OpenAI, text-embeddings-inference and bert-as-service, as their clients ask and read them."""

import base64
import json

import numpy as np
import pytest
from tests.serving.conftest import ask, fitted, pretrained, run_async, served

import stemma
from stemma.runs.decoding import Decoding


def test_openai_s_embeddings(home):
    run = stemma.load(pretrained("word2vec", home))
    expected = run.embed(["the sea", "雨"])

    async def tried():
        async with served([str(run.path)]) as client:
            plain = await ask(client, "/v1/embeddings", model="word2vec", input=["the sea", "雨"], user="me")
            packed = await ask(client, "/v1/embeddings", model="word2vec", input="the sea", encoding_format="base64")
            await ask(client, "/v1/embeddings", 422, input=["the sea"], dimensions=8)
            await ask(client, "/v1/embeddings", 422, input=[[1, 2]])
            await ask(client, "/v1/embeddings", 404, model="text-embedding-3-small", input="a")
        assert (plain["object"], plain["model"], [one["index"] for one in plain["data"]]) == ("list", "word2vec", [0, 1])
        np.testing.assert_allclose([one["embedding"] for one in plain["data"]], expected, atol=1e-6)
        np.testing.assert_array_equal(np.frombuffer(base64.b64decode(packed["data"][0]["embedding"]), "<f4"), expected[0])
        assert plain["usage"]["prompt_tokens"] == plain["usage"]["total_tokens"] > 2

    run_async(tried)


def test_openai_s_completions(home):
    run = stemma.load(pretrained("gpt", home))
    prompts = ["the sea", "雨"]

    async def tried():
        async with served([str(run.path)]) as client:
            body = {"model": "gpt", "prompt": prompts, "max_tokens": 6, "seed": 4, "temperature": 0.7, "n": 2, "presence_penalty": 0}
            found = await ask(client, "/v1/completions", **body)
            echoed = await ask(client, "/v1/completions", **body, echo=True)
            short = await ask(client, "/v1/completions", prompt="the sea", max_tokens=1, temperature=0)
            await ask(client, "/v1/completions", 422, prompt="a", logprobs=3)
            reply = await client.post("/v1/completions", json={"prompt": "the sea", "max_tokens": 6, "seed": 4, "stream": True})
            plain = await ask(client, "/v1/completions", prompt="the sea", max_tokens=6, seed=4)
        expected = run.write(prompts, length=6, seed=4, samples=2, options=Decoding(temperature=0.7))
        texts = [one.text for samples in expected for one in samples]
        assert [one["text"] for one in echoed["choices"]] == texts
        assert [one["text"] for one in found["choices"]] == [text[len(prompts[n // 2]) :] for n, text in enumerate(texts)]
        assert [one["index"] for one in found["choices"]] == [0, 1, 2, 3]
        assert found["usage"]["completion_tokens"] == sum(len(one.ids) for samples in expected for one in samples)
        assert short["choices"][0]["finish_reason"] in ("length", "stop") and short["usage"]["completion_tokens"] <= 1
        events = [line.removeprefix("data: ") for line in reply.text.splitlines() if line]
        assert events[-1] == "[DONE]" and reply.headers["content-type"].startswith("text/event-stream")
        assert "".join(json.loads(one)["choices"][0]["text"] for one in events[:-1]) == plain["choices"][0]["text"]

    run_async(tried)


def test_openai_s_null_is_as_if_left_out_and_a_stream_tells_of_its_end(home, monkeypatch):
    async def tried():
        async with served([str(pretrained("ngram", home))], written=10**6) as client:
            empty = dict.fromkeys(("model", "seed", "n", "stop", "echo", "logprobs", "suffix", "temperature", "top_p", "stream"))
            assert len((await ask(client, "/v1/completions", prompt="the sea", max_tokens=3, **empty))["choices"]) == 1
            unread = await ask(client, "/v1/completions", 422, prompt=[[1, 2]])
            unable = await ask(client, "/v1/embeddings", 422, input="a", encoding_format=None)
            nowhere = await ask(client, "/v1/chat/completions", 404, messages=[])
            large = await ask(client, "/v1/completions", 413, prompt="a" * (3 << 20))
            for told, words in ((unread, "prompt"), (unable, "no model here can embed"), (nowhere, "no route"), (large, "too large")):
                assert words in told["error"]["message"] and told["error"].keys() == {"message", "type", "param", "code"}

            def broken(*_, **__):
                yield "the"
                raise RuntimeError("a secret")

            monkeypatch.setattr(client.desk.models.find("ngram").used.run, "stream", broken)
            reply = await client.post("/v1/completions", json={"prompt": "the sea", "stream": True})
        first, last = (json.loads(line.removeprefix("data: ")) for line in reply.text.splitlines() if line)
        assert first["choices"][0]["text"] == "the"
        assert last["error"]["type"] == "backend" and "secret" not in reply.text  # OpenAI's clients raise it

    run_async(tried)


def test_a_stream_is_the_text(home):
    run = stemma.load(pretrained("gpt2", home))

    async def tried():
        async with served([str(run.path)]) as client:
            reply = await client.post("/v1/generate", json={"inputs": "大海", "length": 9, "seed": 7, "stream": True})
            wrong = await ask(client, "/v1/generate", 422, inputs=["a", "b"], stream=True)
        blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in reply.text.strip().split("\n\n")]
        assert blocks[-1]["event"] == "done" and json.loads(blocks[-1]["data"])["model"] == "gpt2"
        assert "大海" + "".join(json.loads(block["data"])["text"] for block in blocks[:-1]) == run.generate("大海", length=9, seed=7)
        assert wrong["error_type"] == "validation"

    run_async(tried)


def test_text_embeddings_inference(home):
    places = pretrained("word2vec", home), fitted("bert-topics", home), fitted("bert-numbers", home)
    words, topics, numbers = map(stemma.load, places)
    unit = words.embed(["the sea", "rain", "雨"], normalise=True)

    async def tried():
        async with served(list(map(str, places))) as client:
            vectors = await ask(client, "/embed?model=word2vec", inputs=["the sea", "rain", "雨"])
            np.testing.assert_allclose(vectors, unit, atol=1e-6)
            plain = await ask(client, "/embed?model=word2vec", inputs="the sea", normalize=False)
            np.testing.assert_allclose(plain, words.embed(["the sea"]), atol=1e-6)

            one = await ask(client, "/predict?model=bert-topics", inputs="the sea")
            several = await ask(client, "/predict?model=bert-topics", inputs=[["the sea"], ["大海"]])
            labels, shares = topics.predict(["the sea", "大海"])
            assert [rows[0]["label"] for rows in several] == labels and [row["label"] for row in one] == [
                row["label"] for row in several[0]
            ]
            assert one[0]["score"] == pytest.approx(float(shares[0].max()), abs=1e-5)
            assert "/v1/predict" in (await ask(client, "/predict?model=bert-numbers", 422, inputs=["a", "b"]))["error"]
            await ask(client, "/predict?model=bert-topics", 422, inputs=[["rain " * 300]], truncate=False)

            judged = await ask(client, "/rerank", query="the sea", texts=["rain", "a story of the sea", "雨"], return_text=True)
            scores, _ = numbers.predict(["the sea"] * 3, ["rain", "a story of the sea", "雨"])
            assert [row["index"] for row in judged] == sorted(range(3), key=lambda place: -scores[place])
            assert judged[0].keys() == {"index", "score", "text"}
            near = await ask(client, "/rerank?model=word2vec", query="the sea", texts=["rain", "the sea"])
            assert near[0]["index"] == 1 and near[0]["score"] == pytest.approx(1, abs=1e-6)
            cosines = await ask(client, "/similarity?model=word2vec", inputs={"source_sentence": "the sea", "sentences": ["rain", "雨"]})
            np.testing.assert_allclose(cosines, unit[1:] @ unit[0], atol=1e-6)

            ((first, *_),) = await ask(client, "/tokenize?model=word2vec", inputs="the sea")
            assert (first["text"], first["start"], first["stop"], first["special"]) == ("the", 0, 3, False)
            told = (await client.get("/info?model=bert-topics")).json()
            assert (told["model_id"], told["model_type"]["task"], told["max_client_batch_size"]) == ("bert-topics", "classify", 256)
            assert (await client.get("/info")).status_code == 422

    run_async(tried)


def test_bert_as_service(home):
    run = stemma.load(pretrained("bert", home))

    async def tried():
        async with served([str(run.path)]) as client:
            found = await ask(client, "/encode", id=111, texts=["the sea", "大海"], is_tokenized=False)
            cut = await ask(client, "/encode", texts=[["the", "sea"]], is_tokenized=True)
            await ask(client, "/encode", 422, texts=[["the", "sea"]])
            await ask(client, "/encode", 422, texts=[])
        assert (found["id"], found["status"]) == (111, 200)
        np.testing.assert_allclose(found["result"], run.embed(["the sea", "大海"]), atol=1e-5)
        np.testing.assert_allclose(cut["result"], run.embed(["the sea"]), atol=1e-5)

    run_async(tried)

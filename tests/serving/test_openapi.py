"""The OpenAPI document: requests and replies as they are agree with it, and no page asks anything of another host."""

import re

import jsonschema
from tests.serving.conftest import ask, fitted, pretrained, run_async, served

POSTS = [
    ("/v1/predict", {"model": "bert-topics", "inputs": ["the sea", "大海"]}),
    ("/v1/embed", {"model": "word2vec", "inputs": "the sea", "normalise": True}),
    ("/v1/embed", {"model": "bert", "inputs": "the sea", "layer": 0, "tokens": True}),
    ("/v1/masks", {"inputs": "the sea", "seed": 2}),
    ("/v1/tokens", {"model": "gpt", "inputs": ["🙂", ""]}),
    ("/v1/score", {"model": "gpt", "inputs": ["the sea"], "tokens": True}),
    ("/v1/fill", {"inputs": "the [MASK]", "k": 2}),
    ("/v1/generate", {"inputs": ["sea", "雨"], "length": 3, "samples": 2, "temperature": 1}),
    ("/v1/generate", {"inputs": "sea", "next": 3}),
    ("/v1/nearest", {"inputs": ["sea"]}),
    ("/v1/nearest", {"inputs": ["sea rain cat"], "outlier": True}),
    ("/v1/attend", {"model": "gpt", "inputs": ["sea"], "layer": 1}),
    ("/v1/embeddings", {"model": "word2vec", "input": ["sea"]}),
    ("/v1/completions", {"prompt": "the sea", "max_tokens": 3}),
    ("/embed?model=word2vec", {"inputs": ["sea"]}),
    ("/predict", {"inputs": "sea"}),
    ("/rerank?model=word2vec", {"query": "sea", "texts": ["rain", "sea"]}),
    ("/similarity?model=word2vec", {"inputs": {"source_sentence": "sea", "sentences": ["rain"]}}),
    ("/tokenize?model=gpt", {"inputs": "sea"}),
    ("/encode?model=word2vec", {"texts": ["sea"]}),
]


def checked(value, schema, document):
    """Raises where the value is not what the document says."""
    jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(value)


def test_requests_and_replies_are_as_the_document_says(home):
    async def tried():
        places = [str(pretrained(name, home)) for name in ("word2vec", "gpt", "bert")] + [str(fitted("bert-topics", home))]
        async with served(places) as client:
            document = (await client.get("/openapi.json")).json()
            assert document["openapi"].startswith("3.1")
            asked = set()
            for route, body in POSTS:
                path = route.partition("?")[0]
                told = document["paths"][path]["post"]
                checked(body, told["requestBody"]["content"]["application/json"]["schema"], document)
                checked(await ask(client, route, **body), told["responses"]["200"]["content"]["application/json"]["schema"], document)
                fault = await ask(client, route, 422, prompt=1)
                checked(fault, told["responses"]["422"]["content"]["application/json"]["schema"], document)
                asked.add(path)
            for path in ("/v1/models", "/v1/models/gpt", "/info?model=gpt"):
                name = path.replace("/gpt", "/{name}").partition("?")[0]
                told = document["paths"][name]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
                checked((await client.get(path)).json(), told, document)
                asked.add(name)
            untried = {"/v1/translate", "/v1/models/{name}/reload", "/v1/models/{name}/rollback"}
            assert document["paths"].keys() - asked == untried
            for path in ("/v1/generate", "/v1/completions"):
                streamed = await client.post(path, json={"model": "gpt", "stream": True})
                kinds = document["paths"][path]["post"]["responses"]["200"]["content"]
                assert kinds.keys() == {"application/json", streamed.headers["content-type"].partition(";")[0]}
            assert all(route.get("description") for methods in document["paths"].values() for route in methods.values())

    run_async(tried)


def test_the_page_of_routes_asks_nothing_of_another_host(home):
    async def tried():
        async with served([str(pretrained("word2vec", home))]) as client:
            docs = await client.get("/docs")
            assert docs.status_code == 200 and "POST /v1/predict" in docs.text and "inputs (required)" in docs.text
            assert not re.search(r"(src|href)=.?(https?:)?//", docs.text)
            assert "default-src 'none'; style-src 'unsafe-inline'; base-uri" in docs.headers["content-security-policy"]

    run_async(tried)

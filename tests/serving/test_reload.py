"""A model is replaced without a request noticing: a good version takes over at once, a bad one leaves all as it was."""

import asyncio
import shutil

from tests.serving.conftest import ask, pretrained, run_async, served

from stemma.runs.run import Run


def copied(source, target):
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target


def test_a_good_version_takes_over_and_can_be_taken_back(home, tmp_path):
    words = Run.open(pretrained("word2vec", home)), Run.open(pretrained("glove", home))
    expected = [run.embed(["the sea"])[0].tolist() for run in words]
    place = copied(words[0].path, tmp_path / "words")

    async def tried():
        async with served([f"words={place}"]) as client:

            async def vector():
                found = await ask(client, "/v1/embed", inputs="the sea")
                return found["version"], found["outputs"][0]["vector"]

            assert await vector() == (1, expected[0])
            assert (await ask(client, "/v1/models/words/rollback", 422))["error_type"] == "validation"
            copied(words[1].path, place)
            assert await vector() == (1, expected[0])  # what is in use is not what stands on the disk
            told = await ask(client, "/v1/models/words/reload")
            assert (told["version"], told["versions"], told["generation"]) == (2, [1, 2], "glove")
            assert await vector() == (2, expected[1])
            assert (await ask(client, "/v1/models/words/rollback"))["version"] == 1
            assert await vector() == (1, expected[0])
            assert (await ask(client, "/v1/models/words/reload"))["versions"] == [1, 3]
            assert await vector() == (3, expected[1])
            assert (await ask(client, "/v1/models/other/reload", 404))["error_type"] == "not_found"
            assert 'stemma_model_version{model="words"} 3.0' in (await client.get("/metrics")).text

    run_async(tried)


def test_a_bad_version_leaves_the_old_one_serving(home, tmp_path):
    place = copied(pretrained("word2vec", home), tmp_path / "words")
    weights = place / "model.safetensors"

    async def tried():
        async with served([str(place)]) as client:
            before = await ask(client, "/v1/embed", inputs="the sea")
            data = bytearray(weights.read_bytes())
            data[-4] ^= 255
            weights.unlink()
            weights.write_bytes(data)
            fault = await ask(client, "/v1/models/words/reload", 500)
            assert "damaged" in fault["error"]
            assert await ask(client, "/v1/embed", inputs="the sea") == before
            shutil.rmtree(place)
            assert "no such folder" in (await ask(client, "/v1/models/words/reload", 500))["error"]
            assert await ask(client, "/v1/embed", inputs="the sea") == before
            assert (await client.get("/v1/models/words")).json()["versions"] == [1]

    run_async(tried)


def test_a_folder_that_may_not_be_read_is_told_and_the_old_version_stays(home, tmp_path, monkeypatch):
    place = copied(pretrained("word2vec", home), tmp_path / "words")

    async def tried():
        async with served([str(place)]) as client:

            def denied(*_):
                raise PermissionError(13, "Permission denied")

            monkeypatch.setattr(client.desk.models.find("words"), "_fresh", denied)
            fault = await ask(client, "/v1/models/words/reload", 500)
            assert "Permission denied" in fault["error"] and "see to its permissions" in fault["error"]
            assert (await ask(client, "/v1/embed", inputs="the sea"))["version"] == 1

    run_async(tried)


def test_under_load_every_answer_is_of_one_version(home, tmp_path):
    runs = Run.open(pretrained("bert", home)), Run.open(pretrained("bert-wwm", home))
    expected = [run.embed(["the sea"])[0] for run in runs]
    place = copied(runs[0].path, tmp_path / "bert")

    async def tried():
        async with served([str(place)]) as client:
            seen, ended = [], asyncio.Event()

            async def asking():
                while not ended.is_set():
                    found = await ask(client, "/v1/embed", inputs=["the sea"] * 2)
                    for row in found["outputs"]:
                        assert abs(row["vector"] - expected[found["version"] % 2 ^ 1]).max() < 1e-5
                    seen.append(found["version"])

            callers = [asyncio.create_task(asking()) for _ in range(4)]
            for turn in range(2, 5):
                await asyncio.sleep(0.1)
                copied(runs[turn % 2 ^ 1].path, place)
                await ask(client, "/v1/models/bert/reload")
            while 4 not in seen:
                await asyncio.sleep(0.01)
            ended.set()
            await asyncio.gather(*callers)
            assert sorted(set(seen)) == [1, 2, 3, 4]

    run_async(tried)

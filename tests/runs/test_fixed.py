"""What heads read of a fixed network: of pairs the two halves and how alike they are."""

import numpy as np
import pytest
import torch
from tests.transfer.conftest import make_run

from stemma.corpus.choices import Choice
from stemma.corpus.task import Example
from stemma.errors import DamagedError, UsageError
from stemma.runs.assignment import Assignment
from stemma.runs.fixed import FixedNetwork, Probed
from stemma.tasks.table import make_task
from stemma.tasks.task import Seat
from stemma.transfer.finetune import finetune
from stemma.transfer.settings import Config

WORDS = ["film", "story", "good", "bad", "awful", "lovely", "电影", "故事", "好", "坏"]
FROZEN = Config(mode="frozen", precision="fp32", seeds=(1,))


def assigned(run, task: str, config: Config = FROZEN) -> Assignment:
    kind = make_task(task)
    targets = kind.targets([Example("a", "1", "b"), Example("c", "2", "d")] if task != "choice" else [])
    return Assignment(run.row, run.tokenizer, run.module(), kind, targets, config)


def alike(count: int, seed: int) -> list[Example]:
    """Pairs of three words, of which the second half has the same in another order, or others."""
    rng, found = np.random.default_rng(seed), []
    for place in range(count):
        words = rng.permutation(WORDS)
        other = rng.permutation(words[:3]) if place % 2 else words[3:6]
        found.append(Example(" ".join(words[:3]), ("other", "same")[place % 2], " ".join(other)))
    return found


@pytest.mark.parametrize("name", ["bert", "gpt", "word2vec"])
@pytest.mark.parametrize("task", ["pair", "regress", "classify"])
def test_of_a_pair_both_halves_are_read_and_how_alike_they_are(name, task):
    run = make_run(name)
    examples = [
        Example("the film was good", "1", "bad"),
        Example("电影", "2", "好 故事"),
        Example("good", "1", ""),
        Example("🙂", "2", "film"),
    ]
    fixed = FixedNetwork(assigned(run, task), run.module())
    framed = fixed.prepare(fixed.assignment.task.texts(examples))
    layers = (0,) if name == "word2vec" else (0, 2)
    found = fixed.features(framed, layers).numpy()
    width = run.module().width
    for row, example in enumerate(examples):
        ids = framed.ids[row]
        batch = {
            "ids": torch.tensor(ids)[None],
            "segments": torch.ones(1, len(ids), dtype=torch.long),
            "types": torch.tensor(framed.types[row])[None],
        }
        with torch.no_grad():
            states = [run.module().encode(batch)[layer][0].numpy() for layer in layers]
        places = [
            np.flatnonzero(np.isin(np.arange(len(ids)), _where(ids, run.tokenizer.encode(half)))) for half in (example.text, example.text_b)
        ]
        expected = []
        for layer in states:
            u, v = (layer[own].mean(0) if len(own) else np.zeros(width) for own in places)
            expected += [u, v, np.abs(u - v), u * v]
        np.testing.assert_allclose(
            found[row, : 4 * len(layers) * width], np.concatenate(expected), atol=1e-5
        )  # float32 sums in another order
    assert found.shape[1] == fixed.count_features(layers)


def _where(ids: np.ndarray, half: np.ndarray) -> range:
    """Where the half stands in the framed pair; the halves of these examples have no token in common."""
    first = next((at for at in range(len(ids)) if len(half) and ids[at : at + len(half)].tolist() == half.tolist()), 0)
    return range(first, first + len(half))


@pytest.mark.parametrize("head", ["linear", "network"])
def test_a_frozen_head_tells_whether_two_texts_say_the_same(head):
    config = Config(mode="frozen", head=head, precision="fp32", seeds=(1,), budget=1, updates=200, threads=1)
    made = finetune(make_run("word2vec"), train=alike(400, 1), dev=alike(100, 2), task="pair", config=config)
    assert made.facts["accuracy"]["mean"] > 0.9 and "|u - v|" in made.facts["head"]


def test_a_frozen_head_chooses_what_goes_with_a_context():
    rng = np.random.default_rng(3)
    choices = []
    for place in range(300):
        words = rng.permutation(WORDS)
        candidates = [" ".join(words[3:6]), " ".join(words[5:8])]
        candidates.insert(place % 3, " ".join(rng.permutation(words[:3])))
        choices.append(Choice(" ".join(words[:3]), tuple(candidates), place % 3))
    made = finetune(make_run("word2vec"), train=choices[:240], dev=choices[240:], task="choice", config=FROZEN)
    assert made.facts["accuracy"]["mean"] > 0.9


@pytest.mark.parametrize("texts", [("good film", "bad"), ("", ""), ("好", ""), ("", "🙂")])
def test_the_task_network_reads_each_half_by_itself(texts):
    torch.manual_seed(0)
    head = make_task("pair").network(Seat(width=20, layers=3), {"labels": ["a", "b"], "several": False, "pairs": True}).eval()
    states, lengths = torch.randn(1, 9, 3, 20), [len(text) // 4 for text in texts]
    halves = torch.tensor([[0] + [1] * lengths[0] + [0] + [2] * lengths[1] + [0] * (7 - sum(lengths))])
    answer = head.answers(head.scores(states, {"halves": halves}), {})[0]
    noise = states + torch.randn_like(states) * (halves == 0)[..., None, None]
    unread = head.answers(head.scores(noise, {"halves": halves}), {})[0]
    np.testing.assert_allclose(unread, answer, atol=1e-6)  # specials and padding are not read
    assert np.isfinite(answer).all()


def test_a_head_that_read_something_else_is_refused():
    run = make_run("bert")
    assignment = assigned(run, "pair")
    arrays = {f"task.{name}": np.zeros(5, np.float32) for name in ("mean", "scale")}
    arrays |= {"task.weights": np.zeros((5, 2), np.float32), "task.biases": np.zeros(2, np.float32)}
    own = {name: tensor.numpy() for name, tensor in run.module().state_dict().items()}
    with pytest.raises(DamagedError, match="fine-tune again"):
        Probed.restore(assignment, own | arrays, {})


def test_a_stride_without_windows_is_refused():
    config = Config(mode="frozen", stride=9, seeds=(1,))
    with pytest.raises(UsageError, match=r"transfer.stride = 9 for the task pair.*drop transfer.stride"):
        finetune(make_run("word2vec"), train=alike(20, 1), task="pair", config=config)

"""TinyBERT's losses against NumPy by hand, and what imitation must and must not move."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stemma.config import resolve
from stemma.errors import DataError, UsageError
from stemma.lineage import albert, bert
from stemma.lineage.table import find
from stemma.lineage.tinybert import Config, TinyBERT, block_map
from stemma.objectives.batch import IGNORE
from stemma.tokens.facts import TokenFacts

ROW = find("tinybert")
FACTS = TokenFacts(53, {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4})
STUDENT = Config(width=12, depth=2, heads=4, inner=20, max_length=9, dropout=0.0, teacher_width=20, teacher_blocks=(1, 3))


def drawn(cls, config, seed=3):
    torch.manual_seed(seed)
    network = cls(config, FACTS).eval()
    with torch.no_grad():  # uneven weights, so that a missing bias cannot pass
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return network


@pytest.fixture(params=["bert", "albert"])
def teacher(request):
    sizes = {"width": 20, "depth": 3, "heads": 4, "inner": 44, "max_length": 9, "dropout": 0.3}
    if request.param == "albert":
        return drawn(albert.ALBERT, albert.Config(**sizes, embedding=8), seed=5)
    return drawn(bert.BERT, bert.Config(**sizes), seed=5)


def following(teacher, config=STUDENT):
    student = drawn(TinyBERT, config)
    student.follow(teacher)
    return student


def toy():
    """Two rows: a pair of segments with one position of padding, and a text with three."""
    torch.manual_seed(1)
    segments = torch.tensor([[1, 1, 1, 2, 2, 2, 2, 0], [1, 1, 1, 1, 1, 0, 0, 0]])
    ids = torch.where(segments > 0, torch.randint(5, 53, segments.shape), 0)
    positions = torch.tensor([[0, 1, 2, 0, 1, 2, 3, 0], [0, 1, 2, 3, 4, 0, 0, 0]])
    return {"ids": ids, "segments": segments, "positions": positions, "types": torch.zeros_like(ids)}


def by_hand(student, teacher, batch, blocks, heads="each", counted=False):
    """Jiao 2019, eq. 7 to 9, one number at a time: (embedding, hidden, attention)."""
    own, theirs = student.encode(batch), teacher.encode(batch)
    w, b = (t.detach().double().numpy() for t in (student.fit_dense.weight, student.fit_dense.bias))
    segments = batch["segments"].numpy()
    B, T = segments.shape

    def states(a, z):
        a, z = a.detach().double().numpy() @ w.T + b, z.detach().double().numpy()
        squares = [np.mean((a[r, t] - z[r, t]) ** 2) for r in range(B) for t in range(T) if counted or segments[r, t]]
        return np.mean(squares)

    def scores(net, layers, n):
        x = layers[n - 1]
        attention = net.tower[n - 1].attention
        q, k, _ = (part.unflatten(-1, (attention.heads, -1)).double() for part in attention.qkv(x).chunk(3, -1))
        found = np.einsum("bthk,bshk->bhts", q.detach().numpy(), k.detach().numpy()) / np.sqrt(q.shape[-1])
        return found.mean(1, keepdims=True) if heads == "averaged" else found

    def attention(m, n):
        a, z = scores(student, own, m), scores(teacher, theirs, n)
        squares = []
        for r in range(B):
            for t in range(T):
                for s in range(T):
                    allowed = segments[r, s] and segments[r, t] in (segments[r, s], 0)
                    if counted:
                        squares.append(np.mean((a[r, :, t, s] - z[r, :, t, s]) ** 2) if allowed else 0.0)
                    elif segments[r, t] and segments[r, t] == segments[r, s]:
                        squares.append(np.mean((a[r, :, t, s] - z[r, :, t, s]) ** 2))
        return np.mean(squares)

    hidden = sum(states(own[m], theirs[n]) for m, n in enumerate(blocks, 1))
    return states(own[0], theirs[0]), hidden, sum(attention(m, n) for m, n in enumerate(blocks, 1))


@pytest.mark.parametrize("padding", ["ignored", "counted"])
def test_the_losses_are_those_computed_by_hand(teacher, padding: str) -> None:
    student, batch = following(teacher, replace(STUDENT, padding=padding)), toy()
    embedding, hidden, attention = by_hand(student, teacher, batch, (1, 3), counted=padding == "counted")
    with torch.no_grad():
        loss = student.loss(batch)
    means = {name: float(total / count) for name, (total, count) in loss.parts.items()}
    assert means == pytest.approx({"embedding": embedding, "hidden": hidden, "attention": attention}, rel=1e-5, abs=1e-6)
    assert float(loss.mean) == pytest.approx(embedding + hidden + attention, rel=1e-5)
    assert {name: count for name, (_, count) in loss.parts.items()} == student.predictions(batch)


def test_without_padding_the_authors_code_counts_the_same(teacher) -> None:
    batch = {"ids": torch.randint(5, 53, (3, 7))}
    ignored, counted = (following(teacher, replace(STUDENT, padding=padding)).loss(batch) for padding in ("ignored", "counted"))
    assert float(ignored.mean) == float(counted.mean)


def test_unequal_heads_are_averaged_or_left_out_and_the_card_says_so(teacher) -> None:
    few, batch = replace(STUDENT, heads=2), toy()
    averaged, off = following(teacher, few), following(teacher, replace(few, unequal_heads="off"))
    *_, attention = by_hand(averaged, teacher, batch, (1, 3), heads="averaged")
    total, count = averaged.loss(batch).parts["attention"]
    assert float(total / count) == pytest.approx(attention, rel=1e-5)
    assert "attention" not in off.loss(batch).parts and "attention" not in off.predictions(batch)
    said = [TinyBERT.imitation(config, teacher).words for config in (STUDENT, few, replace(few, unequal_heads="off"))]
    assert said == [
        f"embeddings, block 1, 2 as the teacher's 1, 3 of 3, {attention}"
        for attention in ("attention head by head", "the mean of the heads' attention", "no attention")
    ]


def test_a_copy_of_its_teacher_has_nothing_to_learn() -> None:
    sizes = {"width": 20, "depth": 3, "heads": 4, "inner": 44, "max_length": 9, "dropout": 0.0}
    teacher = drawn(bert.BERT, bert.Config(**sizes))
    student = drawn(TinyBERT, Config(**sizes, teacher_width=20))
    weights = {name: tensor for name, tensor in teacher.state_dict().items() if "head" not in name}
    student.load_state_dict(weights | {"fit_dense.weight": torch.eye(20), "fit_dense.bias": torch.zeros(20)})
    student.follow(teacher)
    assert float(student.loss(toy()).mean) < 1e-10


def test_no_gradient_reaches_the_teacher_and_it_reads_without_dropout(teacher) -> None:
    student = following(teacher)
    student.train()
    first, again = student.loss(toy()), student.loss(toy())
    first.mean.backward()
    assert all(parameter.grad is None for parameter in teacher.parameters()) and not teacher.training
    assert float(first.mean) == float(again.mean)  # the student has no dropout here, the teacher would have
    moved = {name for name, parameter in student.named_parameters() if parameter.grad is not None}
    assert {name for name, _ in student.named_parameters()} - moved == {"pooler.weight", "pooler.bias"}
    assert not any("teacher" in name or "imitation" in name for name in student.state_dict())


def test_padding_and_batch_mates_change_nothing(teacher) -> None:
    student = following(teacher)
    long, short = student.loss(toy()), student.loss({name: rows[:, :7] for name, rows in toy().items()})
    assert {name: count for name, (_, count) in long.parts.items()} == {name: count for name, (_, count) in short.parts.items()}
    assert float(long.mean) == pytest.approx(float(short.mean), rel=1e-5)
    alone = [student.loss({name: rows[n : n + 1] for name, rows in toy().items()}).parts["hidden"][0] for n in range(2)]
    assert float(sum(alone)) == pytest.approx(float(long.parts["hidden"][0]), rel=1e-5)


class Shown:
    """A teacher whose states and scores are what they are made to be."""

    def __init__(self, depth: int = 12) -> None:
        torch.manual_seed(8)
        self.config = SimpleNamespace(width=20, heads=4, max_length=9)
        self.tower = [None] * depth
        self.states = [torch.randn(2, 8, 20) for _ in range(depth + 1)]
        self.attention = [torch.randn(2, 4, 8, 8) for _ in range(depth)]

    def encode(self, batch):
        return self.states

    def scores(self, states, block):
        return self.attention[block - 1]


@pytest.mark.parametrize(
    ("what", "place", "matters"), [("attention", 5, 1), ("attention", 4, 0), ("states", 6, 1), ("states", 5, 0), ("states", 0, 1)]
)
def test_every_third_of_twelve_blocks_is_imitated(what: str, place: int, matters: bool) -> None:
    teacher = Shown()
    student = drawn(TinyBERT, replace(STUDENT, depth=4, teacher_blocks=()))
    student.follow(teacher)
    before = float(student.loss(toy()).mean)
    getattr(teacher, what)[place] = getattr(teacher, what)[place] + 1.0
    assert (float(student.loss(toy()).mean) != before) == matters


@pytest.mark.parametrize(
    ("settings", "depth", "expected"),
    [
        ({"depth": 4}, 12, (3, 6, 9, 12)), ({"depth": 6}, 12, (2, 4, 6, 8, 10, 12)), ({"depth": 5}, 12, (2, 5, 7, 10, 12)),
        ({"depth": 2}, 3, (2, 3)), ({"depth": 4}, 2, (1, 1, 2, 2)), ({"depth": 3}, 1, (1, 1, 1)), ({"depth": 1}, 12, (12,)),
        ({"depth": 4, "mapping": "top"}, 12, (9, 10, 11, 12)), ({"depth": 4, "mapping": "bottom"}, 12, (1, 2, 3, 4)),
        ({"depth": 2, "teacher_blocks": (5, 5)}, 6, (5, 5)),
    ],
)  # fmt: skip
def test_the_layer_map(settings: dict, depth: int, expected: tuple[int, ...]) -> None:
    assert block_map(Config(**settings), depth) == expected


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        ({"mapping": "top", "teacher_blocks": (), "depth": 4}, "lower model.depth"),
        ({"mapping": "bottom", "teacher_blocks": (), "depth": 4}, "uniform"),
        ({"teacher_blocks": (1, 2, 3)}, "name one for each block"),
        ({"teacher_blocks": (1, 4)}, "name one for each block"),
        ({"teacher_width": 21}, "drop model.teacher_width"),
        ({"max_length": 10}, "drop model.max_length"),
    ],
)
def test_what_does_not_go_with_the_teacher_is_refused(change: dict, mend: str) -> None:
    with pytest.raises(UsageError, match=mend):
        drawn(TinyBERT, replace(STUDENT, **change)).follow(Shown(3))


def test_the_head_for_masked_tokens_is_there_where_they_are_predicted(teacher) -> None:
    plain, batch = following(teacher), toy()
    assert not hasattr(plain, "masked_head") and not hasattr(plain, "next_head")
    for use in (plain.fill, plain.label_nats):
        with pytest.raises(UsageError, match=r"model\.masked_loss=1"):
            use({**batch, "labels": batch["ids"]})
    both = following(teacher, replace(STUDENT, masked_loss=0.5))
    with pytest.raises(DataError, match=r"set objective\.mask_share"):
        both.loss({**batch, "labels": torch.full_like(batch["ids"], IGNORE)})
    labels = torch.where((torch.arange(8) % 3 == 1) & (batch["segments"] > 0), batch["ids"], IGNORE)
    loss = both.loss({**batch, "labels": labels})
    nats = both.label_nats({**batch, "labels": labels}).mean()
    total, count = loss.parts["masked"]
    assert float(total / count) == pytest.approx(float(nats), rel=1e-5)
    imitation = sum(float(total / count) for name, (total, count) in loss.parts.items() if name != "masked")
    assert float(loss.mean) == pytest.approx(imitation + 0.5 * float(nats), rel=1e-5)


@pytest.mark.parametrize(("preset", "parameters"), [("base", 14_350_248), ("tinybert6", 66_955_008)])
def test_sizes_of_the_published_students(preset: str, parameters: int) -> None:
    """As transformers counts them with the 30,522 tokens of uncased BERT; the encoder with its pooler."""
    model = resolve({"model": ROW.model_config()}, (preset, {"model": ROW.presets()[preset]["model"]}))["model"]
    with torch.device("meta"):
        network = TinyBERT(model, TokenFacts(30_522, FACTS.specials))
    assert sum(p.numel() for name, p in network.named_parameters() if not name.startswith("fit_dense")) == parameters

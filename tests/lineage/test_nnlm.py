"""NNLM: the paper's formula in NumPy, finite differences, and the properties that its probabilities must have."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stemma.corpus.document import Document
from stemma.errors import DataError, UsageError
from stemma.lineage.nnlm import NNLM, Config
from stemma.runs.run import Run
from stemma.tokens.facts import TokenFacts
from stemma.training.backprop import Backprop
from stemma.training.pretrain import pretrain
from stemma.training.ranks import Ranks
from stemma.training.request import Request
from stemma.training.settings import Config as TrainingConfig

SPECIALS = {"unk": 0, "bos": 1, "eos": 2}
V, C, M, H = 11, 3, 4, 5
COUNTS = np.array([1, 0, 0, 9, 7, 0, 5, 4, 3, 2, 1])
OUTPUTS = pytest.mark.parametrize("output", ["full", "sampled", "hierarchical"])
EXACT = pytest.mark.parametrize("output", ["full", "hierarchical"])
DIRECT = pytest.mark.parametrize("direct", [True, False])


def network(seed: int = 0, **options) -> NNLM:
    """A small network whose every weight is drawn, so that every gradient is alive."""
    torch.manual_seed(seed)
    net = NNLM(Config(**{"context": C, "width": M, "inner": H, **options}), TokenFacts(V, SPECIALS, COUNTS)).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, 0.5)
    return net


def batch() -> dict[str, torch.Tensor]:
    """Two sentences in the first row, one and padding in the second."""
    ids = torch.tensor([[1, 4, 3, 7, 1, 9], [1, 10, 0, 8, 0, 0]])
    labels = torch.tensor([[4, 3, 7, 2, 9, 2], [10, 0, 8, 2, 0, 0]])
    return {"ids": ids, "labels": labels, "segments": torch.tensor([[1, 1, 1, 1, 2, 2], [1, 1, 1, 1, 0, 0]])}


CONTEXTS = [  # of the ten predictions above, the nearest word first
    (1, 1, 1), (4, 1, 1), (3, 4, 1), (7, 3, 4), (1, 1, 1), (9, 1, 1), (1, 1, 1), (10, 1, 1), (0, 10, 1), (8, 0, 10),
]  # fmt: skip
LABELS = [4, 3, 7, 2, 9, 2, 10, 0, 8, 2]


def paper(net: NNLM) -> dict[str, np.ndarray]:
    """The network's weights under the paper's names, float64."""
    arrays = {name: parameter.detach().double().numpy() for name, parameter in net.named_parameters()}
    split = C * M * net.config.direct
    return {
        "C": arrays["words.weight"], "H": arrays["hidden.weight"], "d": arrays["hidden.bias"],
        "W": arrays["output.weight"][:, :split], "U": arrays["output.weight"][:, split:], "b": arrays["output.bias"],
    }  # fmt: skip


def nats(weights: dict[str, np.ndarray], direct: bool) -> np.ndarray:
    """-log P of each label by the formula of Bengio 2003, section 2, in float64; the softmax leaves out <s>."""
    found = []
    for context, label in zip(CONTEXTS, LABELS, strict=True):
        x = np.concatenate([weights["C"][word] for word in context])
        y = weights["b"] + weights["U"] @ np.tanh(weights["d"] + weights["H"] @ x)
        y = y + weights["W"] @ x if direct else y
        shares = np.exp(np.delete(y, 1))
        found.append(np.log(shares.sum()) - y[label])
    return np.array(found)


@DIRECT
def test_probabilities_and_gradients_are_the_papers(direct: bool) -> None:
    net = network(direct=direct).double()
    weights = paper(net)
    expected = nats(weights, direct)
    alone = [-net.log_probs([context[::-1]])[0, label].item() for context, label in zip(CONTEXTS, LABELS, strict=True)]
    np.testing.assert_allclose(alone, expected, atol=1e-10)

    loss = net.loss(batch())
    assert loss.count == 10 and loss.mean.item() == pytest.approx(expected.mean(), abs=1e-6)  # the softmax is float32
    loss.mean.backward()
    gradients = {
        "C": net.words.weight.grad, "H": net.hidden.weight.grad, "d": net.hidden.bias.grad, "b": net.output.bias.grad,
        "W": net.output.weight.grad[:, : C * M * direct], "U": net.output.weight.grad[:, C * M * direct :],
    }  # fmt: skip
    for name, gradient in gradients.items():
        for place in np.ndindex(*weights[name].shape):
            kept, change = weights[name][place], 1e-5
            weights[name][place] = kept + change
            above = nats(weights, direct).mean()
            weights[name][place] = kept - change
            slope = (above - nats(weights, direct).mean()) / (2 * change)
            weights[name][place] = kept
            assert gradient[place].item() == pytest.approx(slope, abs=1e-6), (name, place)


def test_the_whole_softmax_is_torchs_cross_entropy() -> None:
    net = network()
    contexts = torch.tensor(CONTEXTS)
    x = net.words(contexts).flatten(1)
    logits = net.output(torch.cat([x, torch.tanh(net.hidden(x))], 1))
    logits[:, 1] = -torch.inf
    torch.testing.assert_close(net.loss(batch()).mean, F.cross_entropy(logits, torch.tensor(LABELS)))


@OUTPUTS
@DIRECT
def test_probabilities_sum_to_one_and_score_is_their_logarithm(output: str, direct: bool) -> None:
    net = network(output=output, direct=direct)
    for context in ([], [4], [9, 8, 7, 6]):
        chances = net.log_probs([[1, *context]])[0].exp()
        assert chances.sum().item() == pytest.approx(1, abs=1e-6) and chances[1] == 0 and (chances[[0, 2]] > 0).all()
    nats = net.score({"ids": torch.tensor([[1, 4, 3, 2]])})[0]
    alone = [-net.log_probs([before])[0, after].item() for before, after in (([1], 4), ([1, 4], 3), ([1, 4, 3], 2))]
    np.testing.assert_allclose(nats[1:].tolist(), alone, atol=1e-5)
    assert nats[0] == 0


@EXACT
def test_score_sums_to_the_loss_and_padding_changes_nothing(output: str) -> None:
    net = network(output=output)
    rows = batch()
    whole = {"ids": torch.tensor([[1, 4, 3, 7, 2, 1, 9, 2], [1, 10, 0, 8, 2, 0, 0, 0]])}
    whole["segments"] = torch.tensor([[1] * 5 + [2] * 3, [1] * 5 + [0] * 3])
    nats = net.score(whole)
    assert nats.sum().item() == pytest.approx(net.loss(rows).mean.item() * 10, rel=1e-5)
    assert (nats[0, [0, 5]] == 0).all() and (nats[1, 5:] == 0).all()
    alone = net.score({"ids": torch.tensor([[1, 9, 2]])})[0]
    torch.testing.assert_close(nats[0, 5:], alone)


def test_sampled_trains_on_few_words_and_is_judged_by_all() -> None:
    net = network(output="sampled", negatives=4)
    whole = network(output="full")
    assert net.loss(batch()).mean.item() == pytest.approx(whole.loss(batch()).mean.item())
    torch.manual_seed(0)
    losses = {net.train().loss(batch()).mean.item() for _ in range(3)}
    assert len(losses) == 3 and max(losses) < whole.loss(batch()).mean.item() * 2


@DIRECT
@pytest.mark.parametrize("inner", [0, 5])
def test_parameters_are_as_many_as_the_papers_formula(direct: bool, inner: int) -> None:
    net = NNLM(Config(context=C, width=M, inner=inner, direct=direct), TokenFacts(V, SPECIALS, COUNTS))
    n = C + 1
    formula = V * (1 + n * M + inner) + inner * (1 + (n - 1) * M) - (0 if direct else V * (n - 1) * M)
    assert sum(parameter.numel() for parameter in net.parameters()) == formula


@OUTPUTS
def test_it_begins_as_the_unigram_model(output: str) -> None:
    torch.manual_seed(0)
    net = NNLM(Config(context=C, width=M, inner=H, output=output), TokenFacts(V, SPECIALS, COUNTS))
    frequencies = np.maximum(COUNTS, 1).astype(float)
    frequencies[2], frequencies[1] = COUNTS.sum() // 20, 0
    for context in ([], [3, 4, 5]):
        np.testing.assert_allclose(net.log_probs([context])[0].exp(), frequencies / frequencies.sum(), rtol=1e-5)


@EXACT
def test_without_hidden_units_and_direct_connections_the_context_does_not_matter(output: str) -> None:
    net = network(context=1, inner=0, direct=False, output=output)
    torch.testing.assert_close(*net.log_probs([[4], [9]]))
    assert net.score({"ids": torch.tensor([[1, 4, 4, 4]])})[0, 1:].unique().numel() == 1


@DIRECT
def test_permuting_the_vocabulary_permutes_the_probabilities(direct: bool) -> None:
    net, moved = network(direct=direct), network(direct=direct)
    order = torch.cat([torch.arange(3), 3 + torch.randperm(V - 3, generator=torch.Generator().manual_seed(1))])  # new id of each word
    with torch.no_grad():
        for before, after in ((net.words.weight, moved.words.weight), (net.output.weight, moved.output.weight)):
            after[order] = before
        moved.output.bias[order] = net.output.bias
    context = [4, 10, 7]
    torch.testing.assert_close(moved.log_probs([order[context].tolist()])[0, order], net.log_probs([context])[0])


def test_only_the_last_words_count_and_their_order_does() -> None:
    net = network()
    torch.testing.assert_close(*net.log_probs([[5, 6, 3, 4, 7], [9, 3, 4, 7]]))
    assert not torch.allclose(*net.log_probs([[3, 4, 7], [4, 3, 7]]))


@OUTPUTS
def test_reading_on_gives_what_reading_at_once_gives(output: str) -> None:
    net = network(output=output)
    texts = [[1], [1, 4, 9, 3, 7], [1, 6, 6]]
    at_once, memory = net.advance(texts)
    expected = net.log_probs(texts)
    expected[:, 0] = -torch.inf  # the unknown word
    torch.testing.assert_close(at_once, expected)
    on, _ = net.advance([[5, 8], [10], [4]], memory.rows([2, 0, 2]))
    torch.testing.assert_close(on, net.advance([[1, 6, 6, 5, 8], [1, 10], [1, 6, 6, 4]])[0])
    assert (on[:, [0, 1]] == -torch.inf).all() and (on.exp().sum(1) < 1).all() and not on.isnan().any()


def test_word_vectors_are_those_of_words_that_occur() -> None:
    net = network()
    vectors = net.word_vectors()
    assert vectors.shape == (V, M) and not vectors[[0, 1, 2, 5]].any() and vectors[[3, 4, 6]].any(1).all()
    np.testing.assert_array_equal(vectors[7], net.words.weight[7].detach())
    assert torch.equal(net.encode({"ids": torch.tensor([[7, 3]])})[0][0, 0], net.words.weight[7])
    assert net.frame([4, 5], [6]) == ([1, 4, 5, 1, 6], [0, 0, 0, 1, 1]) and net.frame([]) == ([1], [0])


def test_bfloat16_is_near() -> None:
    for output in ("full", "hierarchical"):
        net = network(output=output)
        exact = net.loss(batch()).mean.item()
        with torch.autocast("cpu", torch.bfloat16):
            assert net.loss(batch()).mean.item() == pytest.approx(exact, rel=0.03)


def test_weight_decay_shrinks_all_matrices_and_no_bias() -> None:
    """`Deviates`: decoupled, so rows that the batch does not touch shrink as well."""
    net = network(output="hierarchical")
    row, biases = net.words.weight[6].detach().clone(), net.output.bias.detach().clone()
    learner = Backprop(net, TrainingConfig(weight_decay=0.1), torch.device("cpu"), "fp32", Ranks())
    one = {"ids": np.array([[1]]), "segments": np.array([[1]]), "labels": np.array([[4]])}
    learner.step([one], rate=0.01, seed=0)
    torch.testing.assert_close(net.words.weight[6].detach(), row * (1 - 0.01 * 0.1))
    off_path = (net.output.bias.detach() == biases).sum().item()
    assert 0 < off_path < len(biases)


def test_errors_name_the_mend() -> None:
    with pytest.raises(UsageError, match=r"set tokenizer\.kind"):
        NNLM(Config(), TokenFacts(V, {"eos": 0, "bos": 0}))
    with pytest.raises(DataError, match="leave such batches out"):
        network().loss({name: torch.zeros(1, 3, dtype=torch.long) for name in ("ids", "segments", "labels")})


def test_a_run_reads_sentence_by_sentence_as_the_ngram_model_does(tmp_path) -> None:
    corpus = tmp_path / "both.txt"
    corpus.write_text("the cat sat on the mat\nthe dog ran home\n春眠不觉晓\n\n" * 40, encoding="utf-8")
    words = ['tokenizer.kind="word"', "tokenizer.vocab_size=0", "tokenizer.min_count=1"]
    runs = {
        "nnlm": Run.open(
            pretrain(Request.of("nnlm", corpus, preset="tiny", settings=[*words, "training.steps=30"]), out=tmp_path / "nnlm").path
        ),
        "ngram": Run.open(pretrain(Request.of("ngram", corpus, preset="tiny", settings=words), out=tmp_path / "ngram").path),
    }
    first, second = "the dog sat on the log", "春眠不觉晓"
    for run in runs.values():
        whole, parts = run.score_documents([Document((first, second), "x:1"), Document(("",), "x:2")]), run.score([first, second, ""])
        assert 0 < whole[0].nats < parts[0].nats + parts[1].nats  # no end is predicted, and any way of cutting will do
        assert whole[0].tokens == parts[0].tokens + parts[1].tokens - 2 and whole[1][:2] == (0, 0)
    found = [[(s.tokens, s.unknown, s.characters) for s in run.score([first, second, ""])] for run in runs.values()]
    assert found[0] == found[1] and found[0][0][:2] == (7, 1)  # "log" is unknown to both, and the sentence's end is predicted

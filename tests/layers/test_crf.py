"""The chain against every path written out, finite differences, and pytorch-crf's numbers (golden/crf.json says how they were made)."""

import itertools
import json
from pathlib import Path

import pytest
import torch

from stemma.layers.crf import ChainCRF, Lawful, best_path

GOLDEN = json.loads((Path(__file__).parent / "golden" / "crf.json").read_text(encoding="utf-8"))
LENGTHS, K = (5, 1, 0, 3), 3


def chain(tags=K, seed=3):
    torch.manual_seed(seed)
    crf = ChainCRF(tags).double()
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter)
    return crf


def rows(lengths=LENGTHS, tags=K):
    torch.manual_seed(11)
    longest = max(lengths)
    mask = torch.arange(longest)[None] < torch.tensor(lengths)[:, None]
    return torch.randn(len(lengths), longest, tags, dtype=torch.double) * 2, torch.randint(tags, mask.shape), mask


def path_score(crf, scores, path):
    """The definition, term by term."""
    emitted = sum(scores[t, tag] for t, tag in enumerate(path))
    steps = sum(crf.transitions[a, b] for a, b in itertools.pairwise(path))
    return emitted + steps + crf.start[path[0]] + crf.end[path[-1]]


def all_paths(crf, scores, length):
    paths = list(itertools.product(range(K), repeat=length))
    return paths, torch.stack([path_score(crf, scores, path) for path in paths])


def test_log_likelihood_is_that_of_all_paths_written_out():
    crf, (scores, tags, mask) = chain(), rows()
    found = crf.log_likelihood(scores, tags, mask)
    for row, length in enumerate(LENGTHS):
        if length == 0:
            assert found[row] == 0
            continue
        paths, values = all_paths(crf, scores[row], length)
        torch.testing.assert_close(found[row], values.log_softmax(0)[paths.index(tuple(tags[row, :length].tolist()))])


def test_decoding_finds_the_best_of_all_paths():
    crf, (scores, _, mask) = chain(), rows()
    found = crf.decode(scores, mask)
    for row, length in enumerate(LENGTHS):
        if length:
            paths, values = all_paths(crf, scores[row], length)
            assert tuple(found[row, :length].tolist()) == paths[int(values.argmax())]
        assert (found[row, length:] == 0).all()


def test_probabilities_of_all_paths_sum_to_one():
    crf, (scores, _, _) = chain(), rows((4,))
    paths = torch.tensor(list(itertools.product(range(K), repeat=4)))
    many = scores.expand(len(paths), 4, K)
    logs = crf.log_likelihood(many, paths, torch.ones(len(paths), 4, dtype=torch.bool))
    assert logs.exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_gradients_by_finite_differences():
    crf, (scores, tags, mask) = chain(), rows()
    scores.requires_grad_()
    parameters = tuple(crf.parameters())

    def total(scores, *_):  # gradcheck nudges the parameters in place
        return crf.log_likelihood(scores, tags, mask).sum()

    assert torch.autograd.gradcheck(total, (scores, *parameters), eps=1e-6, atol=1e-6)


def test_padding_and_batch_mates_change_nothing():
    crf, (scores, tags, mask) = chain(), rows()
    scores.requires_grad_()
    together = crf.log_likelihood(scores, tags.masked_fill(~mask, -100), mask)
    for row, length in enumerate(LENGTHS):
        if length:
            alone = crf.log_likelihood(scores[row : row + 1, :length], tags[row : row + 1, :length], mask[row : row + 1, :length])
            torch.testing.assert_close(together[row], alone[0])
    together.sum().backward()
    assert (scores.grad[~mask] == 0).all()


def test_pytorch_crf_agrees():
    crf = ChainCRF(5).double()
    with torch.no_grad():
        for name in ("start", "end", "transitions"):
            getattr(crf, name).copy_(torch.tensor(GOLDEN[name], dtype=torch.double))
    scores, tags = torch.tensor(GOLDEN["scores"], dtype=torch.double), torch.tensor(GOLDEN["tags"])
    mask = torch.arange(scores.shape[1])[None] < torch.tensor(GOLDEN["lengths"])[:, None]
    found = crf.log_likelihood(scores, tags, mask)
    torch.testing.assert_close(found, torch.tensor(GOLDEN["log_likelihood"], dtype=torch.double))
    assert [row[:n].tolist() for row, n in zip(crf.decode(scores, mask), GOLDEN["lengths"], strict=True)] == GOLDEN["paths"]
    found.sum().backward()
    for name in ("start", "end", "transitions"):
        torch.testing.assert_close(getattr(crf, name).grad, torch.tensor(GOLDEN[f"gradient_{name}"], dtype=torch.double))


def test_a_new_chain_is_a_softmax_at_each_position():
    scores, tags, mask = rows()
    alone = scores.log_softmax(-1).gather(2, tags[..., None]).squeeze(2)
    torch.testing.assert_close(ChainCRF(K).double().log_likelihood(scores, tags, mask), (alone * mask).sum(1))
    assert (ChainCRF(K).double().decode(scores, mask)[mask] == scores.argmax(-1)[mask]).all()


@pytest.mark.parametrize("seed", range(5))
def test_lawful_decoding_is_the_best_among_lawful_paths(seed):
    crf, (scores, _, mask) = chain(seed=seed), rows()
    lawful = Lawful(torch.tensor([True, True, False]), torch.tensor([[True, True, False], [True, True, True], [True, True, True]]))

    def keeps(path):
        return lawful.first[path[0]] and all(lawful.following[a, b] for a, b in itertools.pairwise(path))

    found = crf.decode(scores, mask, lawful)
    for row, length in enumerate(LENGTHS):
        if length:
            paths, values = all_paths(crf, scores[row], length)
            assert tuple(found[row, :length].tolist()) == max((p for p in paths if keeps(p)), key=lambda p: values[paths.index(p)].item())


def test_large_scores_do_not_overflow_and_half_precision_is_widened():
    crf, (scores, tags, mask) = chain().float(), rows()
    big = crf.log_likelihood(scores.float() * 1e4, tags, mask)
    assert big.isfinite().all()
    assert (big <= 1e-2).all()
    assert crf.log_likelihood(scores.bfloat16(), tags, mask).dtype == torch.float32


def test_one_position_and_one_tag():
    mask = torch.ones(1, 1, dtype=torch.bool)
    assert ChainCRF(1).log_likelihood(torch.zeros(1, 1, 1), torch.zeros(1, 1, dtype=torch.long), mask).item() == 0
    zeros = torch.zeros(2)
    assert best_path(torch.tensor([[[1.0, 2.0]]]), mask, zeros, torch.zeros(2, 2), zeros).tolist() == [[1]]

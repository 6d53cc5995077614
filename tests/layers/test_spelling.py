"""Convolutions that are looked up, beside PyTorch's own, there and back."""

import pytest
import torch

from stemma.layers.spelling import END, LONGEST, CharacterCNN, spell, spell_border

WORDS = ["a", "", "雨", "水手", "internationalisation", "🦭", "x" * 90, "sea", "of", "sailor's", "老水手的猫坐在雨里老水手的猫坐在雨里"]


def convolved(words: CharacterCNN, spelled: torch.Tensor) -> list[torch.Tensor]:
    """The largest sums over all windows of the whole row."""
    x = words.characters(spelled).transpose(1, 2)
    return [convolve(x).amax(2) for convolve in words.filters]


@pytest.mark.parametrize("filters", [(3, 5, 2, 7), (4,), (2, 3, 4, 5, 6, 7, 8)])
def test_what_is_looked_up_is_the_convolution_with_all_its_slopes(filters):
    torch.manual_seed(0)
    words = CharacterCNN(6, filters, 1, 4)
    spelled = torch.cat([torch.from_numpy(spell(WORDS)).long(), torch.tensor([spell_border(END)])])
    found = {}
    for name, sums in (("ours", words._largest(spelled)), ("torch", convolved(words, spelled))):
        y = torch.cat(sums, 1)
        leaves = [words.characters.weight, *(part for convolve in words.filters for part in (convolve.weight, convolve.bias))]
        slopes = torch.autograd.grad((y * torch.linspace(-1, 1, y.shape[1])).square().sum(), leaves)
        found[name] = [y, *slopes]
    for ours, theirs in zip(found["ours"], found["torch"], strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=1e-5)


def test_a_words_vector_does_not_depend_on_the_longest_beside_it():
    torch.manual_seed(0)
    words = CharacterCNN(5, (3, 4, 5), 2, 6)
    spelled = torch.from_numpy(spell(WORDS)).long()
    for row, vector in zip(spelled, words(spelled), strict=True):
        torch.testing.assert_close(words(row[None])[0], vector, atol=1e-6, rtol=1e-5)
    assert spelled.shape[1] == LONGEST


def test_under_autocast_it_stays_near_and_learns():
    torch.manual_seed(0)
    words = CharacterCNN(16, (8, 8, 8), 1, 6)
    spelled = torch.from_numpy(spell(WORDS)).long()
    with torch.autocast("cpu", torch.bfloat16):
        half = words(spelled)
    torch.testing.assert_close(half.float(), words(spelled), atol=0.05, rtol=0.05)
    half.float().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in words.parameters())

"""Learning pieces: the same text gives the same file in any process, and nothing frequent is unknown."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tokens_texts import CHINESE, ENGLISH, KINDS, TEXTS, config

from stemma.errors import DataError
from stemma.tokens.tokenizer import Config, train
from stemma.tokens.unigram import learn_pieces

SCRIPT = """
import sys
sys.path[:0] = {path!r}
from tokens_texts import KINDS, TEXTS, config
from stemma.tokens.tokenizer import train
for kind in KINDS:
    print(train(iter(TEXTS), config(kind)).fingerprint)
"""


def test_every_process_learns_the_same(tokenizers):
    """The hashes of Rust and Python are seeded anew in every process: the library's own WordPiece and unigram trainers
    gave other files each time."""
    script = SCRIPT.format(path=[str(Path(__file__).parent), *sys.path])
    printed = [subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert printed[0] == printed[1] == "".join(f"{tokenizers[kind].fingerprint}\n" for kind in KINDS)


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram"])
def test_nothing_of_the_text_is_unknown_and_the_size_is_kept(tokenizers, kind):
    tokenizer = tokenizers[kind]
    assert tokenizer.vocab_size <= 400
    if kind != "bpe":
        assert tokenizer.specials["unk"] not in tokenizer.encode_flat(TEXTS)[0]


def test_wordpiece_learns_what_the_library_learns(shared_data):
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    text = (shared_data / "text-en-novels" / "dev.txt").read_text(encoding="utf-8")[:300_000].split("\n")
    ours = train(iter(text), Config(kind="wordpiece", vocab_size=2000))
    rust = Tokenizer(models.WordPiece({}, unk_token="[UNK]"))
    rust.normalizer, rust.pre_tokenizer = normalizers.BertNormalizer(lowercase=False), pre_tokenizers.BertPreTokenizer()
    rust.train_from_iterator(text, trainers.WordPieceTrainer(vocab_size=2000, special_tokens=ours.tokens[:5], show_progress=False))
    assert len(set(ours.tokens) & set(rust.get_vocab())) > 0.97 * 2000  # equal but for ties


def test_bpe_learns_what_the_library_learns(tokenizers):
    from tokenizers import ByteLevelBPETokenizer

    rust = ByteLevelBPETokenizer(add_prefix_space=True)
    rust.train_from_iterator(TEXTS, vocab_size=400, min_frequency=1, special_tokens=["<|endoftext|>"], show_progress=False)
    assert rust.get_vocab() == {token: i for i, token in enumerate(tokenizers["bpe"].tokens)}


def test_rare_characters_give_way_when_the_vocabulary_is_small():
    texts = ["天地玄黄宇宙洪荒" * 3, "日月盈昃辰宿列张寒来暑往秋收冬藏闰余成岁律吕调阳" * 1, "the mill " * 9] * 2
    for kind in ("wordpiece", "unigram"):
        tokenizer = train(iter(texts), Config(kind=kind, vocab_size=32))
        ids, _ = tokenizer.encode_flat(texts)
        assert tokenizer.vocab_size <= 32 and tokenizer.specials["unk"] in ids
        assert tokenizer.id("天") is not None and tokenizer.id("阳") is None


def test_wordpiece_keeps_chinese_characters_single(tokenizers):
    assert not [token for token in tokenizers["wordpiece"].tokens if len(token) > 1 and any("一" <= c <= "龥" for c in token)]
    assert [tokenizers["wordpiece"].token(i) for i in tokenizers["wordpiece"].encode("语言模型")] == list("语言模型")


def test_min_count_leaves_rare_characters_out():
    texts = ["the mill the mill ω"]
    for kind in ("wordpiece", "unigram"):
        tokenizer = train(iter(texts), Config(kind=kind, vocab_size=64, min_count=2))
        assert tokenizer.id("ω") is None and tokenizer.specials["unk"] in tokenizer.encode("ω")


def test_unigram_prefers_what_is_frequent():
    pieces = dict(learn_pieces(["the mill"] * 50 + ENGLISH + CHINESE, str, 120, 90, 1))
    assert {"▁the", "▁mill"} < set(pieces) and len(pieces) <= 120
    assert 0.75 < sum(np.exp(list(pieces.values()))) <= 1  # what digamma and the last cut took is missing


def test_unigram_scores_agree_with_the_library(tokenizers):
    """The library's Viterbi finds no better segmentation than one by brute force over all pieces."""
    scores = dict(learn_pieces(TEXTS, str, 150, 110, 1))

    def best(text: str) -> float:
        found = [0.0] + [-np.inf] * len(text)
        for end in range(1, len(text) + 1):
            found[end] = max(found[start] + scores.get(text[start:end], -np.inf) for start in range(end))
        return found[-1]

    from tokenizers import models

    model = models.Unigram([("<unk>", 0.0), *scores.items()], unk_id=0)
    for word in ("▁the", "▁slowly", "语言模型"):
        assert sum(scores[token.value] for token in model.tokenize(word)) == pytest.approx(best(word))


def test_learning_from_a_sample_is_even_and_its_limit_stands_in_the_file(tmp_path):
    tokenizer = train(iter(TEXTS), config("bpe", train_characters=800))
    tokenizer.save(tmp_path / "tokenizer.json")
    assert tokenizer.load(tmp_path / "tokenizer.json").config.train_characters == 800
    assert tokenizer.vocab_size < train(iter(TEXTS), config("bpe")).vocab_size + 1


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram"])
def test_no_text_is_reported(kind):
    with pytest.raises(DataError, match="stemma corpus check"):
        train(iter(["", " "]), config(kind))


def test_real_chinese_and_english_are_known(shared_data):
    for folder in ("text-en-novels", "text-zh-tech"):
        text = (shared_data / folder / "dev.txt").read_text(encoding="utf-8")[:300_000].split("\n")
        tokenizer = train(iter(text), Config(kind="wordpiece", vocab_size=4096))
        ids, lengths = tokenizer.encode_flat(text)
        assert lengths.sum() == len(ids) and (ids == 1).mean() < 0.002
        assert hashlib.blake2b(ids.tobytes()).digest() == hashlib.blake2b(tokenizer.encode_flat(text)[0].tobytes()).digest()

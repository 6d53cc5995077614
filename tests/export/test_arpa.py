"""ARPA out and in: lmplz's own models, KenLM's answers, foreign habits, damaged files."""

import bz2
import gzip
import lzma
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from stemma.cli.main import main
from stemma.errors import DataError, UsageError
from stemma.export.arpa import read_arpa, write_arpa
from stemma.export.formats import convert
from stemma.lineage.ngram import Config, Ngram
from stemma.objectives.counts import Config as CountsConfig
from stemma.objectives.counts import Counts
from stemma.objectives.spool import Room
from stemma.runs.run import Run
from stemma.tokens.facts import TokenFacts

GOLDEN = [  # text, lmplz's model of it, order, --prune
    ("golden-tiny.txt", "golden-tiny-o3-fallback.arpa", 3, ()),
    ("golden-en.txt.xz", "golden-en-o5.arpa.xz", 5, ()),
    ("golden-en.txt.xz", "golden-en-o3-pruned.arpa.xz", 3, (0, 0, 1)),
    ("golden-zh.txt.xz", "golden-zh-o3.arpa.xz", 3, ()),
]
HELD_OUT = {  # lines of golden-en-heldout.txt -> order, --prune, summed log10, perplexity
    500: [(5, (), -11276.2041, 208.799), (3, (0, 0, 1), -11288.6443, 210.033)],
    120: [(5, (), -2538.6806, 71.294), (3, (0, 0, 1), -2527.9974, 70.025)],
}
MODELS = [{"order": 3}, {"order": 4, "prune": (0, 0, 1)}, {"order": 2, "method": "kn"}, {"order": 3, "method": "katz"}]
ENGLISH = "the cat sat on the mat\nthe dog sat on the cat\n\na dog and a cat sat\nthe mat 🙂"
CHINESE = "我 坐 在 这 里\n我 在 这 里 坐\n你 坐 在 那 里\u3000去"  # an ideographic space parts no words


def learnt(text: str, **options) -> tuple[Ngram, list[str]]:
    ids = {"<unk>": 0, "<s>": 1, "</s>": 2}
    lines = text.removesuffix("\n").split("\n")
    sentences = [[ids.setdefault(word, len(ids)) for word in line.split(" ") if word] for line in lines]
    flat = np.array([token for sentence in sentences for token in sentence], np.uint32)
    store = SimpleNamespace(ids=flat, sentence_starts=np.cumsum([0, *map(len, sentences)]))
    config, facts = Config(**options), TokenFacts(len(ids), {"unk": 0, "bos": 1, "eos": 2})
    counts = Counts(CountsConfig(), config, store, facts, Room(2**30))
    return Ngram.from_counts(config, facts, counts.merge([counts.partial(*shard) for shard in counts.shards(1)])), list(ids)


def log10_scores(network: Ngram, tokens: list[str], lines: list[str]) -> np.ndarray:
    ids = {token: i for i, token in enumerate(tokens)}
    return network.score([[ids.get(word, 0) for word in line.split(" ") if word] for line in lines]).sentences / math.log(10)


def contents(path: Path) -> str:
    return (lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()).decode("utf-8")


def table(text: str) -> dict[str, tuple[float, float]]:
    """n-gram -> (probability, back-off), in the file's order."""
    rows = (line.split("\t") for line in text.split("\n") if "\t" in line)
    return {row[1]: (float(row[0]), float(row[2]) if len(row) > 2 else 0.0) for row in rows}


class TestGolden:
    @pytest.mark.parametrize(("text", "model", "order", "prune"), GOLDEN, ids=lambda value: str(value))
    def test_every_number_is_lmplz_s(self, kenlm_models, tmp_path, text, model, order, prune):
        network, tokens = learnt(contents(kenlm_models / text), order=order, prune=prune)
        write_arpa(network, tokens, tmp_path / "ours.arpa")
        ours, golden = contents(tmp_path / "ours.arpa"), contents(kenlm_models / model)
        assert ours.split("\n\n")[0] == golden.split("\n\n")[0]  # the header
        ours, golden = table(ours), table(golden)
        assert list(ours) == list(golden)  # the same n-grams in the same lines
        np.testing.assert_allclose(list(ours.values()), list(golden.values()), atol=1e-5)  # lmplz counts in float32

    @pytest.mark.parametrize("number", [0, 1], ids=["order 5", "order 3, pruned"])
    def test_held_out_sums_are_kenlm_s(self, kenlm_models, number):
        lines = (kenlm_models / "golden-en-heldout.txt").read_text(encoding="utf-8").splitlines()
        order, prune, total, perplexity = HELD_OUT[len(lines)][number]
        network, tokens = learnt(contents(kenlm_models / "golden-en.txt.xz"), order=order, prune=prune)
        ids = {token: i for i, token in enumerate(tokens)}
        scores = network.score([[ids.get(word, 0) for word in line.split()] for line in lines])
        assert -scores.nats / math.log(10) == pytest.approx(total, abs=1e-3)
        assert scores.perplexity() == pytest.approx(perplexity, abs=1e-3)


class TestKenlm:
    @pytest.mark.parametrize("text", [ENGLISH, CHINESE, ENGLISH.replace("dog", "<unk>")], ids=["en", "zh", "unknown words counted"])
    @pytest.mark.parametrize("options", MODELS, ids=str)
    def test_opens_ours_and_scores_alike(self, tmp_path, text, options):
        kenlm = pytest.importorskip("kenlm")
        network, tokens = learnt(text, **options)
        write_arpa(network, tokens, tmp_path / "ours.arpa")
        model = kenlm.Model(str(tmp_path / "ours.arpa"))
        rng = np.random.default_rng(0)
        lines = [" ".join(rng.choice([*tokens[3:], "elsewhere"], n)) for n in rng.integers(0, 9, 60)]
        np.testing.assert_allclose(log10_scores(network, tokens, lines), [model.score(line) for line in lines], atol=1e-4)

    @pytest.mark.parametrize("name", ["test.arpa", "test_nounk.arpa", "toy0.arpa", "toy1.arpa", *(model for _, model, _, _ in GOLDEN)])
    def test_foreign_models_score_alike(self, shared_data, tmp_path, name):
        kenlm = pytest.importorskip("kenlm")
        path, plain = shared_data / "fixtures" / "kenlm" / name, tmp_path / "plain.arpa"
        plain.write_text(contents(path), encoding="utf-8")
        read, model = read_arpa(path), kenlm.Model(str(plain))
        ids = {token: i for i, token in enumerate(read.tokens)}
        rng = np.random.default_rng(0)
        for length in rng.integers(0, 8, 60):
            line = " ".join(rng.choice([*read.tokens[3:], "elsewhere"], length))
            scores = read.network.score([[ids.get(word, 0) for word in line.split(" ") if word]])
            full = list(model.full_scores(line))
            np.testing.assert_allclose(scores.log_probs / math.log(10), [p for p, _, _ in full], atol=1e-4)
            assert scores.orders.tolist() == [n for _, n, _ in full]


class TestRun:
    """An ARPA file as a run folder."""

    @pytest.mark.parametrize("name", ["test.arpa", "test_nounk.arpa", "golden-tiny-o3-fallback.arpa", "golden-zh-o3.arpa.xz"])
    def test_scores_and_comes_back_as_it_was(self, shared_data, tmp_path, name):
        kenlm = pytest.importorskip("kenlm")
        path, plain = shared_data / "fixtures" / "kenlm" / name, tmp_path / "plain.arpa"
        plain.write_text(contents(path), encoding="utf-8")
        convert(path, tmp_path / "run", "run")
        run, model = Run.open(tmp_path / "run"), kenlm.Model(str(plain))
        rng = np.random.default_rng(0)
        for length in rng.integers(0, 8, 30):
            line = " ".join(rng.choice([*run.tokenizer.tokens[3:], "elsewhere"], length))
            assert run.score([line])[0].nats == pytest.approx(-model.score(line) * math.log(10), abs=1e-3)
        convert(tmp_path / "run", tmp_path / "back.arpa", "arpa")
        write_arpa(read_arpa(path).network, read_arpa(path).tokens, tmp_path / "direct.arpa")
        assert contents(tmp_path / "back.arpa") == contents(tmp_path / "direct.arpa")
        assert table(contents(tmp_path / "back.arpa")).keys() == table(contents(path)).keys()

    def test_the_verb_and_the_card(self, tmp_path, capsys):
        (tmp_path / "x.arpa").write_text(GOOD, encoding="utf-8")
        assert main(["convert", str(tmp_path / "x.arpa"), str(tmp_path / "run"), "--to", "run"]) == 0
        assert capsys.readouterr().out == f"{tmp_path / 'run'}\n"
        assert "- 2-grams: 2" in (tmp_path / "run" / "README.md").read_text(encoding="utf-8")

    def test_words_that_are_not_utf_8_are_reported(self, tmp_path):
        (tmp_path / "x.arpa").write_bytes(GOOD.replace("\ta", "\té").replace(" a", " é").encode("latin-1"))
        with pytest.raises(DataError, match=r"the word '\\\\xe9' is not UTF-8.*convert the file"):
            convert(tmp_path / "x.arpa", tmp_path / "run", "run")
        assert not (tmp_path / "run").exists()


class TestRoundTrip:
    def test_lmplz_s_own_files_come_back_byte_by_byte(self, kenlm_models, tmp_path):
        for _, model, _, _ in GOLDEN:
            path = kenlm_models / model
            read = read_arpa(path)
            write_arpa(read.network, read.tokens, tmp_path / "ours.arpa")
            ours, theirs = contents(tmp_path / "ours.arpa").strip(), contents(path).strip()
            assert table(ours) == table(theirs)
            assert ours == theirs or "e-" in theirs  # lmplz writes 2e-07 where we write every zero

    @pytest.mark.parametrize("text", [ENGLISH, CHINESE], ids=["en", "zh"])
    @pytest.mark.parametrize("options", [{"order": 1}, *MODELS, {"order": 3, "method": "mle"}], ids=str)
    @pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz"])
    def test_write_read_write_is_byte_identical(self, tmp_path, text, options, suffix):
        network, tokens = learnt(text, **options)
        write_arpa(network, tokens, tmp_path / f"one.arpa{suffix}")
        read = read_arpa(tmp_path / f"one.arpa{suffix}")
        assert read.tokens == tokens
        write_arpa(read.network, read.tokens, tmp_path / "two.arpa")
        unpack = {"": bytes, ".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}[suffix]
        assert unpack((tmp_path / f"one.arpa{suffix}").read_bytes()) == (tmp_path / "two.arpa").read_bytes()

    def test_closed_vocabulary_has_no_unknown(self, tmp_path):
        store = SimpleNamespace(ids=np.array([1, 2, 1, 3], np.uint16), sentence_starts=np.array([0, 4]))
        config, facts = Config(order=2), TokenFacts(5, {"bos": 0, "eos": 0})
        counts = Counts(CountsConfig(), config, store, facts, Room(2**30))
        network = Ngram.from_counts(config, facts, counts.merge([counts.partial(0, 1)]))
        write_arpa(network, ["<|endoftext|>", "Ġthe", "Ġ", "a b", "unseen"], tmp_path / "closed.arpa")
        text = contents(tmp_path / "closed.arpa")
        assert "<unk>" not in text
        assert "\ta<0x20>b\t" in text  # a blank inside a token would part it in two
        assert "\tunseen\t" in text
        read = read_arpa(tmp_path / "closed.arpa")
        assert read.network.unknown_token is None
        write_arpa(read.network, read.tokens, tmp_path / "again.arpa")
        assert contents(tmp_path / "again.arpa") == text

    def test_words_that_look_like_specials_or_hold_blanks_come_back(self, tmp_path):
        names = ["<UNK>", "<Unk>", "a b", "a<0x20>b", "<<UNK>>", "<0x09>", "猫"]
        ids = {name: n for n, name in enumerate(["<unk>", "<s>", "</s>"], 0)}
        text = np.arange(3, 3 + len(names), dtype=np.uint16)
        store = SimpleNamespace(ids=np.concatenate([text, text[::-1]]), sentence_starts=np.array([0, len(text), 2 * len(text)]))
        config, facts = Config(order=2), TokenFacts(3 + len(names), {"unk": 0, "bos": 1, "eos": 2})
        counts = Counts(CountsConfig(), config, store, facts, Room(2**30))
        network = Ngram.from_counts(config, facts, counts.merge([counts.partial(0, 2)]))
        write_arpa(network, [*ids, *names], tmp_path / "one.arpa")
        read = read_arpa(tmp_path / "one.arpa")
        assert read.tokens == [*ids, *names]
        write_arpa(read.network, read.tokens, tmp_path / "two.arpa")
        assert (tmp_path / "two.arpa").read_bytes() == (tmp_path / "one.arpa").read_bytes()

    def test_numbers_are_shortest_decimals_of_float32(self):
        from stemma.kernels.decimals import put_number

        rng = np.random.default_rng(0)
        values = [0.0, -0.1, -1.0, -99.0, -1e-7, 0.30103, -0.30103, *(-rng.exponential(2, 500)), *(-(10.0 ** -rng.uniform(0, 7, 200)))]
        for value in np.array(values, np.float32):
            out = np.zeros(40, np.uint8)
            text = out[: put_number(value, out, 0)].tobytes().decode()
            assert np.float32(text) == value
            assert text == np.format_float_positional(value, unique=True, trim="-"), text


HEAD = "\\data\\\nngram 1=4\nngram 2=2\n\n"
ONES = "\\1-grams:\n-1\t<unk>\t0\n0\t<s>\t-0.3\n-0.5\t</s>\t0\n-0.6\ta\t-0.2\n"
TWOS = "\n\\2-grams:\n-0.1\t<s> a\n-0.2\ta </s>\n"
GOOD = HEAD + ONES + TWOS + "\n\\end\\\n"


class TestForeignHabits:
    def read(self, tmp_path: Path, text: str, encoding: str = "utf-8"):
        (tmp_path / "x.arpa").write_text(text, encoding=encoding, newline="")
        return read_arpa(tmp_path / "x.arpa")

    @pytest.mark.parametrize("text", [
        GOOD.replace("\t", " "),
        GOOD.replace("\n", "\r\n"),
        "made by a foreign tool\n\n" + GOOD,
        GOOD.replace("<unk>\t0", "<UNK>").replace("</s>\t0", "</s>"),
        GOOD.replace("0\t<s>", "-99\t<s>"),
        GOOD.replace("<s> a\n", "<s> a\t0\n"),
        GOOD.replace("-0.1\t", "-1.0E-01   ").replace("-0.2\ta", "\n\n-.2\t a"),
        GOOD.replace("-0.1\t", "-0.1000000000000000055511151231257827\t"),
        GOOD.removesuffix("\n"),
    ], ids=["spaces", "CRLF", "preamble", "UNK, no back-offs", "-99", "back-off 0", "exponents", "digits", "no line end"])  # fmt: skip
    def test_read_like_the_plain_file(self, tmp_path, text):
        read = self.read(tmp_path, text)
        assert read.tokens == ["<unk>", "<s>", "</s>", "a"]
        np.testing.assert_allclose(read.network.score([[3], [0]]).log_probs / math.log(10), [-0.1, -0.2, -1.3, -0.5], atol=1e-6)

    @pytest.mark.parametrize("block", [1, 30, 100])
    def test_blocks_of_any_size_are_read_alike(self, tmp_path, monkeypatch, block):
        network, tokens = learnt(ENGLISH, order=3)
        write_arpa(network, tokens, tmp_path / "one.arpa")
        monkeypatch.setattr("stemma.export.streams.BLOCK", block)
        read = read_arpa(tmp_path / "one.arpa")
        write_arpa(read.network, read.tokens, tmp_path / "two.arpa")
        assert contents(tmp_path / "two.arpa") == contents(tmp_path / "one.arpa")

    def test_other_spellings_of_the_unknown_word(self, tmp_path):
        text = GOOD.replace("<unk>", "<UNK>").replace("a </s>", "<unk> </s>")
        assert self.read(tmp_path, text).network.score([[0]]).log_probs[-1] == pytest.approx(-0.2 * math.log(10))

    def test_a_model_without_the_unknown_word_is_written_without_it(self, tmp_path):
        text = GOOD.replace("ngram 1=4", "ngram 1=3").replace("-1\t<unk>\t0\n", "")
        read = self.read(tmp_path, text)
        assert read.network.score([[0]]).log_probs[0] == pytest.approx((-100 - 0.3) * math.log(10))
        write_arpa(read.network, read.tokens, tmp_path / "y.arpa")
        assert table(contents(tmp_path / "y.arpa")) == table(text)

    def test_a_probability_of_zero(self, tmp_path):
        read = self.read(tmp_path, GOOD.replace("-0.2\ta </s>", "-inf\ta </s>"))
        assert read.network.score([[3]]).log_probs[-1] == -math.inf

    def test_missing_endings_and_prefixes_are_put_in(self, tmp_path):
        longer = "-0.7\tb\t-0.1\n\\2-grams:\n-0.1\t<s> a\t-0.4\n\\3-grams:\n-0.05\ta b a\n\\end\\\n"
        text = "\\data\\\nngram 1=5\nngram 2=1\nngram 3=1\n" + ONES + longer
        read = self.read(tmp_path, text)
        assert len(read.network.implied) == 2  # a b, b a
        scores = read.network.score([[3, 4, 3]]).log_probs / math.log(10)
        # a after <s>; b after "<s> a": both back-offs; a after "a b"; the end, of which nothing longer is known
        np.testing.assert_allclose(scores, [-0.1, -0.4 - 0.2 - 0.7, -0.05, -0.2 - 0.5], atol=1e-6)
        write_arpa(read.network, read.tokens, tmp_path / "y.arpa")
        assert table(contents(tmp_path / "y.arpa")).keys() == table(text).keys()

    @pytest.mark.parametrize(("text", "message"), [
        (GOOD.replace("-0.2\ta </s>", "0.2\ta </s>"), "line 13: 0.2 is no log10 probability"),
        (GOOD.replace("<s> a\n", "<s> a\t-0.5\n"), "line 12: a back-off of -0.5 on the highest order"),
        (GOOD.replace("-0.2\ta </s>", "nan\ta </s>"), "line 13: nan is no log10 probability"),
        (GOOD.replace("a </s>", "a </s> x"), "line 13: .*decimal numbers"),
        (GOOD.replace("a </s>", "a"), "line 13: .*2 words"),
        (GOOD.replace("a </s>", "z </s>"), "line 13: the word 'z' is no unigram"),
        (GOOD.replace("ngram 2=2", "ngram 2=3"), "3 words|2 words|line 15"),
        (GOOD.replace("ngram 1=4", "ngram 1=3"), "line 9: .* after as many n-grams as the header states"),
        (GOOD.replace("-0.6\ta\t-0.2", "-0.6\ta b c\t-0.2"), "line 9: .*1 words and perhaps a back-off"),
        (GOOD.replace("-0.6\ta", "x\ta"), "line 9: .*decimal numbers"),
        (GOOD.replace("-0.5\t</s>", "-0.5\tb"), "without </s>"),
        (GOOD.replace("-0.6\ta\t", "-0.6\t<s>\t"), "line 9: the unigram '<s>' stands here a second time"),
        (GOOD.replace("a </s>", "<s> a"), "x.arpa: line 2 of the 2-grams repeats"),
        (GOOD[:60], "the file ends here"),
        (GOOD.replace("\\end\\", ""), "a last line"),
        ("", r"a line \\data\\ before the n-grams"),
    ])  # fmt: skip
    def test_what_is_wrong_is_reported_with_its_line(self, tmp_path, text, message):
        with pytest.raises(DataError, match=message):
            self.read(tmp_path, text)

    def test_truncated_compressed_file(self, tmp_path):
        packed = gzip.compress((GOOD * 50).encode())
        (tmp_path / "x.arpa.gz").write_bytes(packed[: len(packed) // 2])
        with pytest.raises(DataError, match="an undamaged copy"):
            read_arpa(tmp_path / "x.arpa.gz")

    def test_no_such_file(self, tmp_path):
        with pytest.raises(UsageError, match="check the path"):
            read_arpa(tmp_path / "none.arpa")

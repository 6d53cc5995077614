"""The n-gram model against the sheet once more, as slow plain Python: dictionaries of tuples, one formula a line."""

import math
from collections import Counter, defaultdict
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.lineage.ngram import Config, Ngram
from stemma.objectives.counts import Config as CountsConfig
from stemma.objectives.counts import Counts
from stemma.objectives.spool import Room
from stemma.tokens.facts import TokenFacts

UNK, BOS, EOS = "<unk>", "<s>", "</s>"


class SlowNgram:
    """An n-gram model of `sentences` (lists of words) by the formulas of the sheet; `p(word, context)` is a probability."""

    def __init__(self, sentences, order=3, method="mkn", prune=(), fallback=(0.5, 1.0, 1.5), k=1.0):
        self.order, self.method, self.k = order, method, k
        self.ids = {UNK: 0, BOS: 1, EOS: 2}
        for sentence in sentences:
            for word in sentence:
                self.ids.setdefault(word, len(self.ids))
        self.types = len(self.ids) - 1  # without <s>
        self.raw = [Counter() for _ in range(order + 1)]
        padded = [[BOS] * (order - 1) + list(s) + [EOS] for s in sentences]
        highest = Counter(tuple(s[i : i + order]) for s in padded for i in range(len(s) - order + 1))
        for gram, count in highest.items():
            for n in range(1, order + 1):
                if BOS not in gram[order - n :][1:]:
                    self.raw[n][gram[order - n :]] += count
        self.adjusted = [self._adjusted(n, highest) for n in range(order + 1)]
        last = max(highest, key=lambda gram: [self.ids[w] for w in reversed(gram)])
        thresholds = [prune[min(n, len(prune)) - 1] if prune else 0 for n in range(1, order + 1)]
        self.discounts = [None, *(self._discounts(n, last, fallback) for n in range(1, order + 1))]
        self.kept = [set()]
        for n, threshold in enumerate(thresholds, 1):
            self.kept.append({g for g in self.raw[n] if self.raw[n][g] > threshold or g == (EOS,)})
        self.types -= len(self.raw[1]) - len(self.kept[1])
        self.extensions = defaultdict(list)
        for n in range(1, order + 1):
            for gram in self.adjusted[n]:
                self.extensions[gram[:-1]].append(gram)

    def _adjusted(self, n, highest):
        if n == 0:
            return Counter()
        if n == self.order or self.method not in ("mkn", "kn"):
            return Counter(self.raw[n])
        left = defaultdict(set)
        for gram in highest:
            ending = gram[self.order - n :]
            if BOS not in ending[1:]:
                left[ending].add(gram[self.order - n - 1])
        return Counter({g: self.raw[n][g] if g[0] == BOS else len(left[g]) for g in self.raw[n]})

    def _discounts(self, n, last, fallback):
        a = dict(self.adjusted[n])
        tail = last[self.order - n :]
        if self.method == "mkn" and n < self.order and BOS not in tail:
            a[tail] = self.raw[n][tail]
        t = Counter(a.values())
        if self.method in ("mle", "add-k"):
            return [0.0, 0.0]
        if self.method in ("kn", "abs"):
            return [0.0, t[1] / (t[1] + 2 * t[2]) if t[1] and t[2] else fallback[0]]
        if self.method == "katz":
            if not all(t[r] for r in range(1, 7)) or t[1] == 6 * t[6]:
                return [0.0, fallback[0]]
            x = 6 * t[6] / t[1]
            d = [((r + 1) * t[r + 1] / t[r] / r - x) / (1 - x) for r in range(1, 6)]
            return [0.0, *(r * (1 - f) for r, f in enumerate(d, 1)), 0.0] if all(0 < f <= 1 for f in d) else [0.0, fallback[0]]
        if t[1] and t[2] and t[3]:
            y = t[1] / (t[1] + 2 * t[2])
            d = [k - (k + 1) * y * t[k + 1] / t[k] for k in (1, 2, 3)]
            if all(0 <= x <= k for k, x in enumerate(d, 1)):
                return [0.0, *d]
        return [0.0, *fallback]

    def d(self, n, count):
        return self.discounts[n][min(count, len(self.discounts[n]) - 1)]

    def p(self, word, context):
        """P(word | context), the context cut to what the order sees."""
        context = tuple(context)[len(context) - min(len(context), self.order - 1) :]
        if self.method == "add-k":
            total = sum(self.adjusted[len(context) + 1][g] for g in self.extensions[context])
            return (self.adjusted[len(context) + 1][(*context, word)] + self.k) / (total + self.k * self.types)
        return self._p(word, context)

    def _p(self, word, context):
        n = len(context) + 1
        gram, extensions = (*context, word), self.extensions[context]
        lower = (lambda w: self._p(w, context[1:])) if context else (lambda w: 1 / self.types)
        if not extensions:
            return lower(word)
        total = sum(self.adjusted[n][g] for g in extensions)
        kept = [g for g in extensions if g in self.kept[n]]
        left = sum(self.d(n, self.adjusted[n][g]) for g in kept)
        left += sum(self.adjusted[n][g] for g in extensions if g not in self.kept[n])
        share = (self.adjusted[n][gram] - self.d(n, self.adjusted[n][gram])) if gram in self.kept[n] else 0.0
        if self.method in ("mkn", "kn", "abs"):
            return share / total + left / total * lower(word)
        reached = sum(lower(g[-1]) for g in kept)
        if reached > 1 - 1e-6:
            return share / (total - left)
        return share / total if gram in self.kept[n] else left / total / (1 - reached) * lower(word)

    def log10_score(self, sentence):
        """log10 P of a sentence and its end."""
        words = [w if (w,) in self.kept[1] else UNK for w in sentence]
        history = [BOS, *words]
        ps = [self.p(w, history[: i + 1]) for i, w in enumerate([*words, EOS])]
        return sum(math.log10(p) if p > 0 else -math.inf for p in ps)


def learnt(sentences: list[list[str]], **options) -> tuple[Ngram, dict[str, int]]:
    ids = {"<unk>": 0, "<s>": 1, "</s>": 2}
    flat = [ids.setdefault(word, len(ids)) for sentence in sentences for word in sentence]
    store = SimpleNamespace(ids=np.array(flat, np.uint16), sentence_starts=np.cumsum([0, *(len(s) for s in sentences)]))
    config, facts = Config(**options), TokenFacts(len(ids), {"unk": 0, "bos": 1, "eos": 2})
    counts = Counts(CountsConfig(), config, store, facts, Room(2**30))
    return Ngram.from_counts(config, facts, counts.merge([counts.partial(*shard) for shard in counts.shards(1)])), ids


WORDS = st.sampled_from(["a", "b", "c", "的", "说", "🙂"])
CORPORA = st.lists(st.lists(WORDS, max_size=7), min_size=1, max_size=12)
PRUNES = st.sampled_from([(0, 1), (0, 0, 2), (1,), (1, 2)])
METHODS = st.sampled_from(["mkn", "kn", "abs", "katz", "add-k", "mle"])


class TestAgainstTheFormulas:
    @settings(max_examples=300, deadline=None)
    @given(CORPORA, st.integers(1, 5), METHODS, st.lists(WORDS, max_size=4))
    def test_every_method_order_and_corpus(self, sentences, order, method, context):
        network, ids = learnt(sentences, order=order, method=method, precision="double")
        slow = SlowNgram(sentences, order, method)
        probs = network.probs([ids.get(word, 0) for word in context])
        known = [word if word in ids else "<unk>" for word in context]
        for word, i in ids.items():
            expected = 0.0 if word == "<s>" else slow.p(word, ["<s>", *known])
            assert probs[i] == pytest.approx(expected, abs=1e-9), word
        score = network.score([[ids.get(word, 0) for word in context]]).log_probs.sum() / math.log(10)
        assert score == pytest.approx(slow.log10_score(context), abs=1e-9)

    @settings(max_examples=100, deadline=None)
    @given(CORPORA, st.integers(1, 4), METHODS.filter(lambda m: m not in ("add-k", "mle")), PRUNES, st.lists(WORDS, max_size=4))
    def test_pruned(self, sentences, order, method, prune, context):
        prune = prune[:order]
        network, ids = learnt(sentences, order=order, method=method, prune=prune, precision="double")
        slow = SlowNgram(sentences, order, method, prune)
        score = network.score([[ids.get(word, 0) for word in context]]).log_probs.sum() / math.log(10)
        assert score == pytest.approx(slow.log10_score(context), abs=1e-9)
        assert network.probs([ids.get(word, 0) for word in context]).sum() == pytest.approx(1, abs=1e-9)
        assert list(network.sizes[1:]) == [len(slow.kept[n]) for n in range(2, order + 1)]

"""The table of generations: one literal tuple, from which every other room learns what exists.

A row names its network and its data as `module:Class`, imported only when used, so that reading
the table costs nothing and needs no torch.
"""

import importlib
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from stemma.config import nearest
from stemma.errors import UsageError

Ability = Literal["score", "generate", "fill", "nearest", "embed", "translate", "transfer"]


@dataclass(frozen=True)
class Generation:
    """One row: what a generation is, how it learns, and where its code stands."""

    name: str
    title: str
    year: int
    paper: str
    parent: str | None  # in history; the import graph follows it where code is shared
    learns: Literal["count", "descend"]
    asks: str  # what it asks of the text
    abilities: tuple[Ability, ...]
    tokenizer: str = "bpe"  # the default kind
    network: str = ""  # "module:Class"; empty while the generation has no file yet
    data: str = ""  # "module:Class" of its objective

    @property
    def ready(self) -> bool:
        """True when this version can pre-train it."""
        return bool(self.network)

    def load_network(self) -> Any:
        """The class of its network; its module also holds `Config`."""
        return _imported(self.network)

    def load_data(self) -> Any:
        """The class of its objective; its module also holds `Config`."""
        return _imported(self.data)

    def sections(self) -> dict[str, type]:
        """The two config sections a generation brings: `model` and `objective`."""
        network, data = (importlib.import_module(place.partition(":")[0]) for place in (self.network, self.data))
        return {"model": network.Config, "objective": data.Config}

    def presets(self) -> dict[str, dict[str, Any]]:
        """Preset name -> config tables, from `presets/NAME.toml`."""
        text = (resources.files("stemma.lineage") / "presets" / f"{self.name}.toml").read_text(encoding="utf-8")
        return tomllib.loads(text)


TABLE: tuple[Generation, ...] = (
    Generation(
        "ngram",
        "n-gram language model, interpolated modified Kneser-Ney",
        1998,
        "Chen & Goodman 1998",
        None,
        "count",
        "the next word",
        ("score", "generate", "transfer"),
        "word",
        "stemma.lineage.ngram:Ngram",
        "stemma.objectives.counts:Counts",
    ),
    Generation(
        "nnlm",
        "neural probabilistic language model",
        2003,
        "Bengio et al. 2003",
        "ngram",
        "descend",
        "the next word from n-1",
        ("score", "generate", "nearest", "embed", "transfer"),
        "word",
        "stemma.lineage.nnlm:NNLM",
        "stemma.objectives.previous:Previous",
    ),
    Generation(
        "word2vec",
        "skip-gram and CBOW word vectors",
        2013,
        "Mikolov et al. 2013",
        "nnlm",
        "descend",
        "its neighbours",
        ("nearest", "embed", "transfer"),
        "word",
        "stemma.lineage.word2vec:Word2Vec",
        "stemma.objectives.windows:Windows",
    ),
    Generation(
        "glove",
        "global vectors",
        2014,
        "Pennington et al. 2014",
        "word2vec",
        "descend",
        "co-occurrence",
        ("nearest", "embed", "transfer"),
        "word",
        "stemma.lineage.glove:GloVe",
        "stemma.objectives.cooccurrence:Cooccurrence",
    ),
    Generation(
        "lstm",
        "LSTM language model",
        2012,
        "Sundermeyer et al. 2012",
        "nnlm",
        "descend",
        "the next token",
        ("score", "generate", "embed", "transfer"),
    ),
    Generation(
        "elmo",
        "deep contextualised word vectors",
        2018,
        "Peters et al. 2018",
        "lstm",
        "descend",
        "the next and the previous word",
        ("score", "embed", "transfer"),
        "word",
    ),
    Generation(
        "seq2seq",
        "RNN encoder-decoder with soft attention",
        2014,
        "Bahdanau et al. 2014",
        "lstm",
        "descend",
        "the target text",
        ("translate",),
    ),
    Generation(
        "transformer", "Transformer encoder-decoder", 2017, "Vaswani et al. 2017", "seq2seq", "descend", "the target text", ("translate",)
    ),
    Generation(
        "gpt",
        "generative pre-training",
        2018,
        "Radford et al. 2018",
        "transformer",
        "descend",
        "the next token",
        ("score", "generate", "embed", "transfer"),
        "bpe",
        "stemma.lineage.gpt:GPT",
        "stemma.objectives.causal:Causal",
    ),
    Generation(
        "gpt2",
        "GPT-2: byte-level, pre-norm, zero-shot",
        2019,
        "Radford et al. 2019",
        "gpt",
        "descend",
        "the next token",
        ("score", "generate", "embed", "transfer"),
    ),
    Generation(
        "bert",
        "bidirectional encoder: masked tokens and sentence pairs",
        2018,
        "Devlin et al. 2018",
        "transformer",
        "descend",
        "masked tokens",
        ("fill", "embed", "transfer"),
        "wordpiece",
        "stemma.lineage.bert:BERT",
        "stemma.objectives.pairs:Pairs",
    ),
    Generation(
        "bert-wwm",
        "whole-word masking, Chinese and English",
        2019,
        "Cui et al. 2019",
        "bert",
        "descend",
        "masked words",
        ("fill", "embed", "transfer"),
        "wordpiece",
    ),
    Generation(
        "albert",
        "factorised table, shared layers, sentence order",
        2019,
        "Lan et al. 2019",
        "bert",
        "descend",
        "masked n-grams",
        ("fill", "embed", "transfer"),
        "unigram",
    ),
    Generation(
        "tinybert",
        "Transformer distillation in two stages",
        2019,
        "Jiao et al. 2019",
        "bert",
        "descend",
        "the teacher's layers",
        ("fill", "embed", "transfer"),
        "wordpiece",
    ),
    Generation(
        "xlnet",
        "permutation language model, two streams",
        2019,
        "Yang et al. 2019",
        "transformer",
        "descend",
        "tokens in a drawn order",
        ("score", "fill", "embed", "transfer"),
        "unigram",
    ),
)


def find(name: str) -> Generation:
    """The row called `name`, ready to pre-train; UsageError names the nearest one otherwise."""
    ready = [row.name for row in TABLE if row.ready]
    for row in TABLE:
        if row.name == name:
            if not row.ready:
                raise UsageError(
                    f"{name} is in the lineage but not yet in this version", f"one of {', '.join(ready)}", "choose one of these"
                )
            return row
    raise UsageError(f"there is no generation {name!r}", f"one of {', '.join(ready)}", nearest(name, ready))


def _imported(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)

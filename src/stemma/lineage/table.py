"""The table of generations: one literal tuple, from which every other room learns what exists.

A row names its network and its data as `module:Class`, imported only when used, so that reading
the table costs nothing and needs no torch. Rooms that name no generation learn from here what they may expect of a network.
"""

import importlib
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

from stemma.config import nearest
from stemma.errors import UsageError
from stemma.lineage.network import Counted as Counted
from stemma.lineage.network import DescendsByHand as DescendsByHand
from stemma.lineage.network import Encoder as Encoder
from stemma.lineage.network import Imitates as Imitates
from stemma.lineage.network import Network as Network
from stemma.lineage.network import StaticVectors as StaticVectors
from stemma.lineage.network import Teaches as Teaches

if TYPE_CHECKING:
    from torch import nn

    from stemma.tokens.facts import TokenFacts

Ability = Literal["score", "generate", "fill", "nearest", "embed", "translate", "attend", "transfer"]


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One row: what a generation is, how it learns, and where its code stands."""

    name: str
    title: str
    short: str  # as people write it: `GPT`
    colour: str  # in pictures, as "#rrggbb": mid-tones, at least 3:1 on white and on a dark page alike
    year: int
    paper: str
    parent: str | None  # in history; the import graph follows it where code is shared
    predicts: str  # what it learns to predict
    abilities: tuple[Ability, ...]  # equal to the methods of its network: a test holds them so
    learns: Literal["count", "descend"] = "descend"
    updates: Literal["counts", "backprop", "by hand"] = "backprop"  # who makes its steps: nobody, autograd, the network itself
    reads_once: bool = False  # its objective works up the whole text before the first step (`objective.Prepares`)
    scores_by: Literal["counts", "sentence", "document"] = "document"  # how text is read to be scored, and how far context reaches
    backward: bool = False  # scores a text from its end to its start too (`network.ScoresBackward`)
    reads_spelling: bool = False  # reads words that no vocabulary has (`network.ReadsSpelling`); its model has `targets`
    continues: bool = False  # goes on from a finished run on new text (`network.TakesOver`)
    teacher: str = ""  # imitates a run that `teaches` (`network.Imitates`); in a comparison, that of this generation
    teaches: bool = False  # its runs can be imitated (`network.Teaches`)
    reshapes: bool = False  # its fine-tuning puts new tokens round a task's text, a source and its target too (`network.Grows`)
    blocks: bool = False  # its network is built of blocks, whose matrices the optimiser muon moves
    tokenizer: str = "bpe"  # the default kind
    chinese_tokenizer: str = ""  # the default kind where the text is mostly Chinese; empty: the same
    tokens_of: str = ""  # beside others it takes the byte-level tokens of this generation: nothing is then out of its vocabulary
    loss_unit: str = "nats"  # what its training loss is counted in
    network: str = ""  # "module:Class"; empty while the generation has no file yet
    data: str = ""  # "module:Class" of its objective

    @property
    def ready(self) -> bool:
        """True when this version can pre-train it."""
        return bool(self.network)

    @property
    def in_context(self) -> bool:
        """True when a word's vector depends on its sentence: it gives vectors, and none to a word by itself."""
        return "embed" in self.abilities and "nearest" not in self.abilities

    def load_network(self) -> Any:
        """The class of its network; its module also holds `Config`."""
        return _imported(self.network)

    def new_module(self, config: Any, tokens: "TokenFacts") -> "nn.Module":
        """Its network, drawn by PyTorch's generator, as PyTorch moves it; for rows that descend."""
        if self.updates == "by hand":
            from stemma.layers.weights import torch_uniform

            module: nn.Module = self.load_network().drawn(config, tokens, torch_uniform).as_module()
            return module
        return self.load_network()(config, tokens)  # type: ignore[no-any-return]

    def load_data(self) -> Any:
        """The class of its objective; its module also holds `Config`."""
        return _imported(self.data)

    def model_config(self) -> type:
        """The config section `model`."""
        return _config(self.network)

    def sections(self) -> dict[str, type]:
        """The two config sections a generation brings: `model` and `objective`."""
        return {"model": self.model_config(), "objective": _config(self.data)}

    def about(self) -> dict[str, dict[str, str]]:
        """Language -> its `title`, and in a sentence each what it `added` and what it `lost`, from `about.toml`."""
        text = (resources.files("stemma.lineage") / "about.toml").read_text(encoding="utf-8")
        about = tomllib.loads(text)[self.name]
        return {"en": {"title": self.title, **about["en"]}, "zh": about["zh"]}

    def presets(self) -> dict[str, dict[str, Any]]:
        """Preset name -> config tables, from `presets/NAME.toml`."""
        text = (resources.files("stemma.lineage") / "presets" / f"{self.name}.toml").read_text(encoding="utf-8")
        return tomllib.loads(text)


TABLE: tuple[Generation, ...] = (
    Generation(
        name="ngram",
        title="n-gram language model, interpolated modified Kneser-Ney",
        short="n-gram",
        colour="#8b7d6b",
        year=1998,
        paper="Chen & Goodman 1998",
        parent=None,
        predicts="the next word",
        abilities=("score", "generate", "transfer"),
        tokenizer="word",
        network="stemma.lineage.ngram:Ngram",
        data="stemma.objectives.counts:Counts",
        tokens_of="gpt",
        learns="count",
        updates="counts",
        scores_by="counts",
    ),
    Generation(
        name="nnlm",
        title="neural probabilistic language model",
        short="NNLM",
        colour="#a8763e",
        year=2003,
        paper="Bengio et al. 2003",
        parent="ngram",
        predicts="the next word from n-1",
        abilities=("score", "generate", "nearest", "embed", "transfer"),
        tokenizer="word",
        network="stemma.lineage.nnlm:NNLM",
        data="stemma.objectives.previous:Previous",
        scores_by="sentence",
    ),
    Generation(
        name="word2vec",
        title="skip-gram and CBOW word vectors",
        short="word2vec",
        colour="#cc8400",
        year=2013,
        paper="Mikolov et al. 2013",
        parent="nnlm",
        predicts="its neighbours",
        abilities=("nearest", "embed", "transfer"),
        tokenizer="word",
        network="stemma.lineage.word2vec:Word2Vec",
        data="stemma.objectives.windows:Windows",
        updates="by hand",
        continues=True,
    ),
    Generation(
        name="glove",
        title="global vectors",
        short="GloVe",
        colour="#c4622d",
        year=2014,
        paper="Pennington et al. 2014",
        parent="word2vec",
        predicts="co-occurrence",
        abilities=("nearest", "embed", "transfer"),
        tokenizer="word",
        network="stemma.lineage.glove:GloVe",
        data="stemma.objectives.cooccurrence:Cooccurrence",
        loss_unit="weighted squared error",
        updates="by hand",
        reads_once=True,
    ),
    Generation(
        name="lstm",
        title="LSTM language model",
        short="LSTM",
        colour="#7d8f1f",
        year=2012,
        paper="Sundermeyer et al. 2012",
        parent="nnlm",
        predicts="the next token",
        abilities=("score", "generate", "embed", "transfer"),
        network="stemma.lineage.lstm:LSTM",
        data="stemma.objectives.streams:Streams",
        continues=True,
    ),
    Generation(
        name="elmo",
        title="deep contextualised word vectors",
        short="ELMo",
        colour="#4f9a2f",
        year=2018,
        paper="Peters et al. 2018",
        parent="lstm",
        predicts="the next and the previous word",
        abilities=("score", "embed", "transfer"),
        tokenizer="word",
        network="stemma.lineage.elmo:ELMo",
        data="stemma.objectives.both_ways:BothWays",
        backward=True,
        reads_spelling=True,
        continues=True,
    ),
    Generation(
        name="seq2seq",
        title="RNN encoder-decoder with soft attention",
        short="seq2seq",
        colour="#2f8f6b",
        year=2014,
        paper="Bahdanau et al. 2014",
        parent="lstm",
        predicts="the target text",
        abilities=("translate", "embed", "attend", "transfer"),
        network="stemma.lineage.seq2seq:Seq2Seq",
        data="stemma.objectives.target_text:TargetText",
    ),
    Generation(
        name="transformer",
        title="Transformer encoder-decoder",
        short="Transformer",
        colour="#2a8aa8",
        year=2017,
        paper="Vaswani et al. 2017",
        parent="seq2seq",
        predicts="the target text",
        abilities=("translate", "embed", "attend", "transfer"),
        blocks=True,
        network="stemma.lineage.transformer:Transformer",
        data="stemma.objectives.target_text:TargetText",
    ),
    Generation(
        name="gpt",
        title="generative pre-training",
        short="GPT",
        colour="#0f9687",
        year=2018,
        paper="Radford et al. 2018",
        parent="transformer",
        predicts="the next token",
        abilities=("score", "generate", "embed", "attend", "transfer"),
        reshapes=True,
        blocks=True,
        network="stemma.lineage.gpt:GPT",
        data="stemma.objectives.causal:Causal",
        continues=True,
    ),
    Generation(
        name="gpt2",
        title="GPT-2: byte-level, pre-norm, zero-shot",
        short="GPT-2",
        colour="#0b7fa5",
        year=2019,
        paper="Radford et al. 2019",
        parent="gpt",
        predicts="the next token",
        abilities=("score", "generate", "embed", "attend", "transfer"),
        reshapes=True,
        blocks=True,
        network="stemma.lineage.gpt2:GPT2",
        data="stemma.objectives.causal:Causal",
        continues=True,
    ),
    Generation(
        name="bert",
        title="bidirectional encoder: masked tokens and sentence pairs",
        short="BERT",
        colour="#7165e3",
        year=2018,
        paper="Devlin et al. 2018",
        parent="transformer",
        predicts="masked tokens",
        abilities=("fill", "embed", "attend", "transfer"),
        blocks=True,
        tokenizer="wordpiece",
        network="stemma.lineage.bert:BERT",
        data="stemma.objectives.pairs:Pairs",
        continues=True,
        teaches=True,
    ),
    Generation(
        name="bert-wwm",
        title="whole-word masking, Chinese and English",
        short="BERT-wwm",
        colour="#9a55d0",
        year=2019,
        paper="Cui et al. 2019",
        parent="bert",
        predicts="masked words",
        abilities=("fill", "embed", "attend", "transfer"),
        blocks=True,
        tokenizer="wordpiece",
        network="stemma.lineage.bert_wwm:BERT",
        data="stemma.objectives.pairs:Pairs",
        continues=True,
        teaches=True,
    ),
    Generation(
        name="albert",
        title="factorised table, shared layers, sentence order",
        short="ALBERT",
        colour="#bf4fb3",
        year=2019,
        paper="Lan et al. 2019",
        parent="bert",
        predicts="masked n-grams",
        abilities=("fill", "embed", "attend", "transfer"),
        blocks=True,
        tokenizer="unigram",
        chinese_tokenizer="wordpiece",
        network="stemma.lineage.albert:ALBERT",
        data="stemma.objectives.pairs:Pairs",
        continues=True,
        teaches=True,
    ),
    Generation(
        name="tinybert",
        title="Transformer distillation in two stages",
        short="TinyBERT",
        colour="#d4508a",
        year=2019,
        paper="Jiao et al. 2019",
        parent="bert",
        predicts="the teacher's layers",
        abilities=("fill", "embed", "attend", "transfer"),
        blocks=True,
        tokenizer="wordpiece",
        loss_unit="squared error",
        network="stemma.lineage.tinybert:TinyBERT",
        data="stemma.objectives.pairs:Pairs",
        teacher="bert",
        continues=True,
        teaches=True,
    ),
    Generation(
        name="xlnet",
        title="permutation language model, two streams",
        short="XLNet",
        colour="#d1495b",
        year=2019,
        paper="Yang et al. 2019",
        parent="transformer",
        predicts="tokens in a drawn order",
        abilities=("score", "generate", "fill", "embed", "attend", "transfer"),
        blocks=True,
        tokenizer="unigram",
        network="stemma.lineage.xlnet:XLNet",
        data="stemma.objectives.permutation:Permutation",
        continues=True,
    ),
)


def able(*abilities: Ability) -> str:
    """The names of the generations of this version that have one of these abilities, with commas between."""
    return ", ".join(row.name for row in TABLE if row.ready and set(abilities) & set(row.abilities))


def teachers() -> str:
    """The names of the generations whose runs can be imitated, with commas between."""
    return ", ".join(row.name for row in TABLE if row.ready and row.teaches)


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


def _config(place: str) -> type:
    config: type = importlib.import_module(place.partition(":")[0]).Config
    return config


def _imported(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)

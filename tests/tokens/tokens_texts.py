"""Small own-made texts in both languages, and the kinds of tokenizer."""

from stemma.tokens.tokenizer import Config

ENGLISH = [
    "The river runs slowly past the old mill, and nobody minds it.",
    "Don't ask the miller's daughter about 1847; she won't answer!",
    "A naïve reader re-reads the first page: “slow rivers run deep”.",
    "Slowly, slowly the water turns the wheel of the mill.",
    "the the the the cat sat on the mat",
]
CHINESE = [
    "我们使用语言模型来预测下一个词的probability。",
    "GPT-2是2019年发布的，比2018年的模型更大。",
    "研究生命的起源，研究生在图书馆里读书。",
    "今天天气很好，我们去公园散步吧！",
    "自然语言处理是人工智能的一个重要方向。",
]
ODD = ["", "x", "词", " ", "👨‍👩‍👧 ❤️ 🤷🏽", "a\u3000b", "e\u0301té İstanbul ΟΔΟΣ", "हिन्दी भाषा", "한국어 텍스트"]
ODD += ["𠀀𠀁 x", "‘tis", "a\tb\nc"]
TEXTS = (ENGLISH + CHINESE) * 8
KINDS = ("word", "whitespace", "char", "wordpiece", "bpe", "unigram")
SUBWORD = ("wordpiece", "bpe", "unigram")


def config(kind: str, **settings) -> Config:
    """A config whose vocabulary holds all of TEXTS, or 400 pieces."""
    return Config(kind=kind, **{"vocab_size": 400 if kind in SUBWORD else 0, **settings})

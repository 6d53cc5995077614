"""Numbers that compiled code gives a meaning to: of words in an n-gram model, of classes of characters."""

import numpy as np

UNKNOWN, START, END = 0, 1, 2  # KenLM's ids of <unk>, <s>, </s>
ABSENT = 0xFFFFFFFF  # a token that is no word of the model: padding, mask, ...
BEGIN, WORD_BITS = np.uint32(0x80000000), np.uint32(0x7FFFFFFF)  # an event is a word, flagged where it begins a sentence

SEPARATOR, WORD, MARK, HAN, SYMBOL, APOSTROPHE = range(6)  # classes of characters

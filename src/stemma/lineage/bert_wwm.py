"""BERT with whole-word masking (Cui, Che, Liu, Qin & Yang 2019, "Pre-Training with Whole Word Masking for Chinese BERT").

Parent: BERT. Network, vocabulary and config are BERT's, and so they are here: nothing of the network is written again. What it
changed is what the masked language model is asked (section 3.1, `objectives.masked`): where one token of a word is chosen, all of them
are. In Chinese a token is a character, and 模型 with 型 hidden is nearly told by 模; hidden whole, the word must be found from its
sentence. English words are whole too, all the pieces of `probability`, in Chinese text as well (Google's release of May 2019).

What a word is, the token store says: Chinese words are cut by a segmenter in the raw text, or as its spaces part them
(`tokenizer.words`), and a token belongs to the word in which it begins. Only pre-training needs them: the tokens are BERT's, so that
nothing that uses the run segments anything.

A chosen token is still masked, kept or replaced by a draw of its own, and predicted by itself. Deviates: masks are drawn anew in
every epoch, as BERT's are here, where the authors' were drawn once.
"""

from stemma.lineage.bert import BERT, Config

__all__ = ["BERT", "Config"]

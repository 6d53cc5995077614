"""A Hugging Face folder of BERT, ALBERT, GPT, GPT-2 or XLNet as a run: one file a layout, `layouts` lists them, `folder` reads.

A folder is config.json, model.safetensors, and the tokenizer: tokenizer.json, or where there is none vocab.txt, GPT-2's vocab.json
with merges.txt, or spiece.model. A pickle, pytorch_model.bin, is
read on request alone, in a process of its own.

Heads that the folder lacks stay empty: `fill` then refuses; a missing pooler is drawn as before training. XLNet's head is its
token table, with a bias of 0 where the folder has none.
"""

"""The peer: transformers' own Trainer on grouped text (run_mlm.py, run_clm.py), one step at a time.

The Trainer runs in a thread of its own that waits after each step until the next one is asked for, so
that contestants can take turns; only one thread ever works.
"""

import itertools
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AlbertConfig,
    AlbertForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    DataCollatorForLanguageModeling,
    DataCollatorForPermutationLanguageModeling,
    GPT2Config,
    GPT2LMHeadModel,
    OpenAIGPTConfig,
    OpenAIGPTLMHeadModel,
    PreTrainedTokenizerFast,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    XLNetConfig,
    XLNetLMHeadModel,
)

from stemma.export.huggingface import huggingface_config
from stemma.tokens.store import TokenStore
from stemma.tokens.tokenizer import Tokenizer

MASKING = ("bert", "albert")
logging.getLogger("transformers").setLevel(logging.ERROR)


def grouped(store: TokenStore, specials: dict[str, int], length: int) -> np.ndarray:
    """(R, length): the documents' tokens with their specials, end to end, cut into rows; the remainder is dropped."""
    borders = np.asarray(store.sentence_starts)[np.asarray(store.document_starts)]
    before, after = ([specials["cls"]], [specials["sep"]]) if "cls" in specials else ([], [specials["eos"]])
    parts: list[Any] = []
    for first, last in itertools.pairwise(borders):
        parts += [before, store.ids[first:last], after]
    stream = np.concatenate([np.asarray(part, np.int64) for part in parts])
    return stream[: len(stream) // length * length].reshape(-1, length)


def make_model(generation: str, model: Any, vocab_size: int, specials: dict[str, int]) -> torch.nn.Module:
    """The network of the same shape in transformers, freshly initialised."""
    settings = huggingface_config(generation, model, vocab_size, specials)
    network, config = {
        "bert": (BertForMaskedLM, BertConfig),
        "albert": (AlbertForMaskedLM, AlbertConfig),
        "gpt": (OpenAIGPTLMHeadModel, OpenAIGPTConfig),
        "gpt2": (GPT2LMHeadModel, GPT2Config),
        "xlnet": (XLNetLMHeadModel, XLNetConfig),
    }[generation]
    return network(config(**settings))


def make_collator(generation: str, tokenizer: Path, specials: dict[str, int]) -> Any:
    """Rows to a batch; for BERT and ALBERT it masks 15 positions in 100, for XLNet it asks for spans, a token in six, anew each time."""
    ours = Tokenizer.load(tokenizer)
    written = {f"{role}_token": ours.token(specials[role]) for role in ("unk", "pad", "cls", "sep", "mask", "eos") if role in specials}
    written.setdefault("pad_token", written.get("eos_token", "[PAD]"))
    theirs = PreTrainedTokenizerFast(tokenizer_file=str(tokenizer), **written)
    if generation == "xlnet":
        return DataCollatorForPermutationLanguageModeling(theirs)
    return DataCollatorForLanguageModeling(theirs, mlm=generation in MASKING, mlm_probability=0.15)


class Stepwise:
    """A Trainer that makes one step for each `next`."""

    def __init__(self, model: Any, rows: np.ndarray, collator: Any, training: Any, steps: int, bf16: bool, folder: Path) -> None:
        length = rows.shape[1]
        arguments = TrainingArguments(
            str(folder),
            per_device_train_batch_size=training.batch_tokens // length,
            max_steps=steps,
            learning_rate=training.rate,
            lr_scheduler_type=training.schedule,
            warmup_steps=round(training.warmup * steps),
            weight_decay=training.weight_decay,
            adam_beta1=training.betas[0],
            adam_beta2=training.betas[1],
            adam_epsilon=training.epsilon,
            max_grad_norm=training.clip,
            bf16=bf16,
            use_cpu=True,
            seed=training.seed,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        self.model, self.tokens_per_step = model, training.batch_tokens // length * length
        self._go, self._made = threading.Semaphore(0), threading.Semaphore(0)
        examples = [{"input_ids": row, "attention_mask": torch.ones_like(row)} for row in torch.from_numpy(rows)]
        self._trainer = Trainer(model, arguments, train_dataset=examples, data_collator=collator, callbacks=[_Turns(self)])
        self._trainer.remove_callback(PrinterCallback)  # it writes to stdout
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._failed: BaseException | None = None

    def _run(self) -> None:
        torch.set_num_threads(1)
        self._go.acquire()
        try:
            self._trainer.train()
        except BaseException as error:
            self._failed = error
        self._made.release()

    def steps(self) -> Iterator[int]:
        """The tokens of each step, when it has been made."""
        self._thread.start()
        for _ in range(self._trainer.args.max_steps):
            self._go.release()
            self._made.acquire()
            if self._failed:
                raise self._failed
            yield self.tokens_per_step
        self._go.release()


class _Turns(TrainerCallback):
    """Hands over after each step."""

    def __init__(self, stepwise: Stepwise) -> None:
        self._stepwise = stepwise

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._stepwise._made.release()
        self._stepwise._go.acquire()

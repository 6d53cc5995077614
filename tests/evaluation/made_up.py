"""A made-up comparison with realistic shapes: every number here is invented, to test the page, never to be quoted."""

import copy
import dataclasses

import numpy as np

from stemma.evaluation.comparison.plan import SCHEMA
from stemma.evaluation.comparison.results import Results, read
from stemma.evaluation.measures.intervals import interval
from stemma.evaluation.report.headline import headline
from stemma.evaluation.report.standings import Standings
from stemma.lineage.table import TABLE, Generation, find

SPENT = {
    "perplexity_per_token_without_oov": None,
    "nats": 300_000.0,
    "spelling_share": 0.0,
    "why_not_bits": None,
    "spacing_nats": 0.0,
    "cpu_seconds": 1.0,
    "peak_bytes": 300_000_000,
}
LEDGER = {
    "characters_in": 10_000_000,
    "characters_used": 9_900_000,
    "rejected": {"borders": 99_000, "control characters": 1_000},
    "documents": 12_345,
    "sentences": 98_000,
    "notes": {},
    "balances": True,
}


def measure(value: float, half: float = 0.013) -> dict:
    return {"value": value, "low": value - half, "high": value + half}


GOLD = np.random.default_rng(1).integers(0, 7, 800)
EASE = np.random.default_rng(0).random(800)


HARD = np.random.default_rng(2).normal(0, 0.15, 96)  # bits that a block takes above the others, whoever reads it
JUDGED = np.random.default_rng(3).normal(size=265)  # people's scores of the pairs that are used
SENSES = [
    (word, f"{word} {k % (2 + place // 3)}") for k in range(122) for place, word in enumerate(("kernel", "tree", "graph", "degree", "包"))
]
PLAIN = np.random.default_rng(4).random(len(SENSES))  # how easy an occurrence is


def blocks(bits: float, own: float = 0.02, alike: float = 1.0) -> list[tuple[float, int]]:
    """What each of 96 blocks costs; `own` bits are this reader's luck, and the others' is shared `alike`."""
    luck = alike * HARD + np.random.default_rng(round(bits * 1000)).normal(0, own, len(HARD))
    return [(2000 * float(nats) * float(np.log(2)), 2000) for nats in bits + luck - luck.mean()]


def interval_of_blocks(found: list[tuple[float, int]]) -> float:
    """Half the length of the interval that such blocks have, in bits a character."""
    return interval(np.array(found)[None], lambda sums: sums[..., 0] / sums[..., 1] / np.log(2)).half


def cosines(rho: float, used: int = len(JUDGED), pairs: int = 353, own: float = 0.1) -> list[tuple[float, float] | None]:
    """A cosine and people's score of each pair that is used, about so correlated; the same pairs are hard for all."""
    noise = np.random.default_rng(5).normal(size=len(JUDGED)) + own * np.random.default_rng(round(rho * 1000)).normal(size=len(JUDGED))
    found = rho * JUDGED + np.sqrt(1 - rho**2) * noise
    return [*zip(found[:used].tolist(), JUDGED[:used].tolist(), strict=True), *[None] * (pairs - used)]


def hits(accuracy: float, own: float = 0.05) -> list[int]:
    """Which occurrences are named right; hard ones are hard for all."""
    ease = PLAIN + np.random.default_rng(round(accuracy * 1000)).normal(0, own, len(PLAIN))
    return (ease < np.quantile(ease, accuracy)).astype(int).tolist()


def answers(accuracy: float, seed: int, seeds: int = 3) -> list[list[int]]:
    """The predictions of some seeds; hard examples are hard for all."""
    noise = np.random.default_rng(seed).normal(0, 0.15, (seeds, 800))
    right = EASE + noise < np.quantile(EASE, accuracy)
    return np.where(right, GOLD, (GOLD + 1) % 7).tolist()


def share(predictions: list[list[int]]) -> float:
    return float(np.mean([np.array(row) == GOLD for row in predictions]))


def mode(accuracy: float, seconds: float, seed: int, head: str) -> dict:
    predictions = answers(accuracy, seed)
    value = share(predictions)
    return {
        "measures": {"accuracy": measure(value), "macro_f1": measure(value - 0.012)},
        "seconds": seconds,
        "cpu_seconds": seconds * 1.8,
        "peak_bytes": 612_000_000,
        "trained_parameters": 66_000,
        "parameters": 5_400_000,
        "seeds": [value - 0.004, value, value + 0.004],
        "trials": 3,
        "settings": {"rate": 3e-4},
        "head": head,
        "answers": predictions,
        "examples": {"train": 3000, "dev": 800},
        "deterministic": False,
        "cut": {"examples": 0, "tokens": 0, "units": 0},
        "command": "stemma finetune runs/bert --task classify --train task/train.tsv --dev task/dev.tsv --out runs/bert-finetune",
    }


def curve(start: float, end: float, seconds: float) -> list[dict]:
    return [
        {
            "step": 20 * i,
            "tokens": 81920 * i,
            "seconds": seconds * i / 30,
            "loss": end + (start - end) * float(np.exp(-i / 7)) + 0.03 * float(np.sin(i * 1.7)),
        }
        for i in range(1, 31)
    ]


def pretrain(name: str, seconds: float, peak: int, size: int, parameters: int, points: list[dict]) -> dict:
    return {
        "seconds": seconds,
        "reading_seconds": 3.2,
        "cpu_seconds": seconds * 1.9,
        "peak_bytes": peak,
        "bytes": size,
        "parameters": parameters,
        "tokens": 2_450_000,
        "passes": 1.2,
        "tokenizer": {"kind": "bpe", "vocab_size": 8192},
        "curve": points,
        "held_out_loss": None,
        "ledger": LEDGER,
        "model": {},
        "notes": [],
        "command": f"stemma pretrain {name} corpus.jsonl --out runs/{name} --preset small --set training.budget_seconds=60",
    }


def probe(short: str, title: str, kind: str, accuracy: float, shown: bool = True) -> dict:
    words = {
        "kernel": accuracy + 0.03,
        "tree": accuracy - 0.05,
        "graph": accuracy + 0.01,
        "degree": accuracy + 0.06,
        "field": accuracy - 0.04,
    }
    return {
        "short": short,
        "title": title,
        "kind": kind,
        "accuracy": measure(accuracy, 0.03),
        "hits": hits(accuracy),
        "shown": shown,
        "within": 0.62,
        "across": 0.55,
        "words": {w: min(a, 1) for w, a in words.items()},
    }


def judged(rho: float) -> dict:
    """What files say of a generation's word vectors."""
    section = {
        "asked": 506,
        "covered": 306,
        "add": 144,
        "mul": 127,
        "add_accuracy": 144 / 306,
        "mul_accuracy": 127 / 306,
        "coverage": 306 / 506,
    }
    none = {"asked": 20, "covered": 0, "add": 0, "mul": 0, "add_accuracy": None, "mul_accuracy": None, "coverage": 0.0}
    total = {**section, "asked": 526, "coverage": 306 / 526}
    missing = ["Arafat", "FBI", "OPEC", "Maradona", "Freud", "Harvard", "CD"]
    return {
        "similarity": [
            {
                "file": "words/wordsim353.tsv",
                "found": {"rho": measure(rho, 0.1), "pairs": 353, "used": 265, "missing": missing, "each": cosines(rho)},
            },
            {"file": "words/wordsim240.tsv", "why_not": "only 0 of 240 pairs have vectors for both words."},
        ],
        "analogies": [{"file": "words/questions-words.txt", "sections": {"family": section, "城市": none}, "total": total}],
        "seconds": 2.0,
        "cpu_seconds": 2.0,
        "peak_bytes": 365_000_000,
    }


def minimal_tests(share: float) -> dict:
    """What minimal pairs say of a generation."""
    part = {"pairs": 1000, "right": round(1000 * share), "ties": 0, "share": measure(share, 0.03)}
    parts = {"phenomena": {"agreement": part, "语序": part}, "paradigms": {"agreement of number": part, "语序": part}}
    found = {"way": "their probability", "given": 2000, "total": part, "mean": measure(share, 0.03), "same": 0, "unknown": 0, **parts}
    return {"found": found, "seconds": 2.0, "cpu_seconds": 2.0, "peak_bytes": 300_000_000}


def label_curves(modes: dict, gap: float) -> dict:
    """Fewer labels: each way of transfer loses, and its control more."""
    ways = {}
    for way, result in modes.items():
        best, lost = result["measures"]["accuracy"]["value"], gap * (1 + (way in ("random", "scratch")))
        shares = ((0.01, 30, 2.0), (0.1, 300, 1.0), (1.0, 3000, 0.0))
        ways[way] = [
            {"share": share, "examples": n, "quality": measure(best - times * lost, 0.02), "seeds": [best - times * lost] * 3}
            for share, n, times in shares
        ]
    return {"ways": ways, "seconds": 40.0, "cpu_seconds": 70.0, "peak_bytes": 612_000_000}


def layer_curve(low: float, high: float) -> dict:
    """The more layers are loaded the better, up to the fourth."""
    names = ["", "embeddings", "block 1", "block 2", "block 3", "block 4", "top"]
    qualities = [low + (high - low) * min(1.0, place / 4) for place in range(len(names))]
    points = [
        {"loaded": place, "layer": name, "quality": measure(value, 0.02), "seeds": [value]}
        for place, (name, value) in enumerate(zip(names, qualities, strict=True))
    ]
    return {"points": points, "seconds": 80.0, "cpu_seconds": 150.0, "peak_bytes": 612_000_000}


def updates_saved(reached: bool) -> dict:
    """Losses of two seeds; fine-tuning comes down to that from scratch many times sooner, or never."""
    seeds, steps = [], (0, 1, 2, 4, 8, 16, 32, 64, 128, 300)
    for seed in (1, 2):
        scratch = [{"updates": n, "loss": 0.9 + 1.04 / (1 + n / 30)} for n in steps]
        finetuned = [{"updates": n, "loss": (0.4 if reached else 1.1) + 1.5 / (1 + n / (7 * seed))} for n in steps]
        lowest = scratch[-1]["loss"]
        came = next((point["updates"] for point in finetuned if point["loss"] <= lowest), None)
        saved = {"loss": lowest, "scratch": 300, "finetuned": came}
        seeds.append({"seed": seed, "finetuned": finetuned, "scratch": scratch, "saved": saved})
    times = {"value": 13.3, "low": 4.1, "high": 43.0, "seeds": 2} if reached else None
    return {"seeds": seeds, "times": times, "seconds": 50.0, "cpu_seconds": 95.0, "peak_bytes": 612_000_000}


def token_curves(modes: dict, tokens: int, loss: float | None) -> dict:
    """Fewer tokens of pre-training: the fewer, the nearer to the control."""
    shares, controls = (1 / 64, 1 / 16, 1 / 4, 1.0), {"frozen": "random", "finetune": "scratch"}
    budgets = [
        {"share": share, "tokens": round(share * tokens), "held_out_loss": None if loss is None else loss + 1 - share} for share in shares
    ]
    ways = {}
    for way in (way for way in modes if way in controls):
        best = modes[way]["measures"]["accuracy"]["value"]
        qualities = [best - 0.04 * place for place in (3, 2, 1, 0)]
        ways[way] = [{"quality": measure(value, 0.02), "seeds": [value] * 3} for value in qualities]
    without = {way: measure(modes[control]["measures"]["accuracy"]["value"]) for way, control in controls.items() if control in modes}
    return {"budgets": budgets, "ways": ways, "without": without, "seconds": 90.0, "cpu_seconds": 160.0, "peak_bytes": 612_000_000}


def layer_probes(best: int) -> dict:
    """Two files on five layers: tags are known low, senses high."""
    files = []
    for path, about, metric, top in (
        ("task/pos.conll", "tags", "token accuracy", best),
        ("task/词义.tsv", "senses", "senses told apart", 4),
    ):
        values = [0.7 - 0.03 * abs(layer - top) for layer in range(5)]
        layers = [{"value": measure(v), "random": measure(0.52, 0.02), "gain": measure(v - 0.52, 0.03), "c": 0.03} for v in values]
        sizes = {"learning": 900, "selection": 100, "judged": 1000}
        known = {"file": path, "about": about, "metric": metric, "share": True, "examples": sizes, "floor": 0.18}
        files.append({**known, "layers": layers, "best_layer": top})
    return {"files": files, "seconds": 12.0, "cpu_seconds": 20.0, "peak_bytes": 400_000_000}


def with_curves(made: dict) -> dict:
    """The same, with all that shows what pre-training buys."""
    made = copy.deepcopy(made)
    ngram, _, gpt, bert = made["generations"][:4]
    for place, generation in enumerate((ngram, gpt, bert)):
        generation["labels"] = label_curves(generation["modes"], 0.05 + 0.02 * place)
        generation["tokens"] = token_curves(generation["modes"], 6_400_000 >> place, None if generation is ngram else 3.2)
    for generation, reached in ((gpt, False), (bert, True)):
        generation["layers"] = layer_curve(0.79, generation["modes"]["finetune"]["measures"]["accuracy"]["value"])
        generation["updates"] = updates_saved(reached)
        generation["probes"] = layer_probes(1 + reached)
    return made


def maps(*names: str) -> dict:
    """Word maps of some generations."""
    words = ["kernel", "tree", "graph", "degree", "field", "包", "文档"]
    places = np.random.default_rng(7).normal(size=(len(names), len(words), 2)).round(4)
    near = {word: {name: [["array", 0.61], ["index", 0.5]] for name in names} for word in words[:3]}
    drawn = dict(zip(names, places.tolist(), strict=True))
    return {"words": words, "asked": False, "missing": [], "maps": drawn, "method": "t-SNE", "neighbours": near}


def results(values: dict | None = None) -> Results:
    """The values, or those of `report`, as results with their headline."""
    found = read(Results, values or report(), "made up")
    return dataclasses.replace(found, headline=headline(Standings(found)))


def report() -> dict:
    """The comparison as `report.json` holds it, without the headline."""
    rows = {name: find(name) for name in ("ngram", "word2vec", "gpt", "bert")}
    facts = {
        name: {
            "name": name,
            "title": r.title,
            "short": r.short,
            "colour": r.colour,
            "loss_unit": r.loss_unit,
            "year": r.year,
            "paper": r.paper,
            "learns": r.learns,
            "asks": r.predicts,
            "abilities": list(r.abilities),
            "failures": [],
            "words": None,
        }
        for name, r in rows.items()
    }
    generations = [
        facts["ngram"]
        | {
            "pretrain": pretrain("ngram", 4.2, 310_000_000, 41_000_000, 3_100_000, []),
            "score": {
                "found": {
                    "bits_per_character": measure(2.31, 0.03),
                    "each": blocks(2.31),
                    "perplexity_per_token": 61.4,
                    "perplexity_per_word": 402.0,
                    "tokens": 58_000,
                    "words": 34_000,
                    "characters": 201_000,
                    "oov": 0,
                    "blocks": 96,
                    "seconds": 0.4,
                    **SPENT,
                }
            },
            "modes": {"frozen": mode(0.774, 2.6, 1, "class-conditional counts")},
            "senses": {"why_not": "an n-gram model has no vectors"},
        },
        facts["word2vec"]
        | {
            "pretrain": pretrain("word2vec", 21.0, 365_000_000, 6_500_000, 1_640_000, curve(4.1, 2.9, 21)),
            "score": {"why_not": "word2vec gives vectors and no probability to a text"},
            "modes": {
                "frozen": mode(0.806, 6.1, 2, "logistic regression on the mean vector"),
                "random": mode(0.701, 6.1, 12, "logistic regression on the mean vector"),
                "finetune": mode(0.842, 31, 3, "linear on the mean vector"),
                "scratch": mode(0.822, 29, 4, "linear on the mean vector"),
            },
            "words": judged(0.41),
            "senses": {
                "probes": [
                    probe("static vector", "the word's static vector", "static", 0.46),
                    probe("rest of the sentence", "mean of the sentence's static vectors", "context-average", 0.73),
                ],
                "layers": [],
            },
        },
        facts["gpt"]
        | {
            "pretrain": pretrain("gpt", 61.0, 890_000_000, 21_600_000, 5_390_000, curve(8.4, 4.4, 61)),
            "score": {
                "found": {
                    "bits_per_character": measure(2.18, 0.03),
                    "each": blocks(2.18),
                    "perplexity_per_token": 49.0,
                    "perplexity_per_word": 318.0,
                    "tokens": 57_000,
                    "words": 34_000,
                    "characters": 201_000,
                    "oov": 0,
                    "blocks": 96,
                    "seconds": 3.9,
                    **SPENT,
                }
            },
            "modes": {
                "frozen": mode(0.771, 24, 5, "linear on the last state"),
                "random": mode(0.768, 24, 15, "linear on the last state"),
                "finetune": mode(0.846, 96, 6, "linear on the last state"),
                "scratch": mode(0.79, 97, 7, "linear on the last state"),
            },
            "senses": {
                "probes": [
                    probe("static vector", "layer 0, the token embedding", "static", 0.46),
                    probe("word in context", "the best layer (3)", "in-context", 0.71),
                ],
                "layers": [measure(a) for a in (0.46, 0.62, 0.68, 0.71, 0.66)],
                "best_layer": 3,
            },
        },
        facts["bert"]
        | {
            "pretrain": pretrain("bert", 60.4, 930_000_000, 22_100_000, 5_520_000, curve(9.1, 5.0, 60)),
            "score": {"why_not": "BERT fills masked tokens and gives no probability to a whole text"},
            "modes": {
                "frozen": mode(0.733, 22, 8, "linear on the pooled [CLS]"),
                "finetune": mode(0.871, 88, 9, "linear on the pooled [CLS]"),
                "scratch": mode(0.802, 89, 10, "linear on the pooled [CLS]"),
            },
            "senses": {
                "probes": [
                    probe("static vector", "layer 0, the token embedding", "static", 0.46),
                    probe("word in context", "the best layer (4)", "in-context", 0.79),
                ],
                "layers": [measure(a) for a in (0.46, 0.66, 0.74, 0.78, 0.79)],
                "best_layer": 4,
            },
        },
    ]
    majority, tfidf = answers(0.19, 20, 1), answers(0.825, 21, 1)
    made = {
        "schema": SCHEMA,
        "made": {"stemma": "0.1.0", "commit": "made-up", "date": "2026-01-01 12:00 UTC"},
        "title": "MADE-UP NUMBERS: 包文档 docstrings",
        "corpus": {
            "paths": ["made-up/docstrings.jsonl"],
            "documents": 12_345,
            "sentences": 98_000,
            "characters": 9_900_000,
            "ledger": LEDGER,
            "held_out": {
                "how": "1 % of the documents, chosen by their content (seed 0)",
                "documents": 96,
                "characters": 331_000,
                "scored": {"blocks": 104, "characters": 201_000},
            },
        },
        "task": {
            "kind": "classify",
            "train": "task/train.tsv",
            "dev": "task/dev.tsv",
            "targets": {"labels": ["altair", "networkx", "numpy", "scipy", "sympy", "体育", "财经"], "several": False, "pairs": False},
            "metrics": [
                {"name": "accuracy", "title": "accuracy", "higher_is_better": True, "share": True},
                {"name": "macro_f1", "title": "macro-F1", "higher_is_better": True, "share": True},
            ],
            "train_examples": 3000,
            "dev_examples": 800,
            "gold": GOLD.tolist(),
            "texts": [f"the dev example {number} & <its> text 例" for number in range(len(GOLD))],
        },
        "budget": {
            "preset": "small",
            "tokens": 0,
            "seconds": 60.0,
            "seeds": [0, 1, 2],
            "modes": ["frozen", "random", "finetune", "scratch"],
        },
        "environment": {
            "cpu": "AMD EPYC 9000-made-up",
            "cores": 2,
            "memory_bytes": 25_000_000_000,
            "system": "Linux 6.0",
            "python": "3.12.3",
            "torch": "2.13.0",
            "numpy": "2.4.0",
            "threads": 2,
            "wall_seconds": 512.0,
        },
        "generations": generations,
        "baselines": [
            {
                "name": "majority",
                "short": "majority class",
                "title": "majority class",
                "measures": {"accuracy": measure(share(majority), 0.02), "macro_f1": measure(0.046, 0.004)},
                "head": "always",
                "blind": True,
                "seconds": 0.01,
                "answers": majority,
            },
            {
                "name": "tfidf",
                "short": "TF-IDF + LR",
                "title": "TF-IDF + logistic regression",
                "measures": {"accuracy": measure(share(tfidf)), "macro_f1": measure(0.812)},
                "head": "logistic regression",
                "seconds": 1.9,
                "answers": tfidf,
            },
        ],
        "senses": {
            "words": 5,
            "senses": 12,
            "train": 600,
            "test": 610,
            "majority": measure(0.46, 0.02),
            "majority_hits": hits(0.46),
            "occurrences": SENSES,
            "file": "task/senses.tsv",
            "how": "half of each sense for train, half for test",
        },
        "words": maps("word2vec"),
        "notes": ["Perplexities per token are not comparable between tokenizers; bits per character are."],
        "command": "stemma compare made-up/docstrings.jsonl --task classify --train task/train.tsv --dev task/dev.tsv --out out",
    }
    return made


def with_failure(made: dict) -> dict:
    """The same, with GPT failed while fine-tuning."""
    made = copy.deepcopy(made)
    gpt = made["generations"][2]
    message = "The loss was NaN at step 7. A number was expected. Lower training.rate."
    gpt["failures"] = [{"stage": "gpt.finetune", "error": "RunError", "message": message}]
    del gpt["modes"]["finetune"]
    return made


def fifteen() -> dict:
    """The same with a row for every generation of the lineage: the deep ones dear and good, several close, one that learnt nothing."""
    made = copy.deepcopy(report())
    rng = np.random.default_rng(5)
    made["generations"] = [_invented(row, place, rng) for place, row in enumerate(TABLE)]
    made["words"] = maps("nnlm", "word2vec", "glove")
    return made


def _invented(row: Generation, place: int, rng: np.random.Generator) -> dict:
    """One row of the fifteen."""
    copied = ("name", "title", "short", "colour", "loss_unit", "year", "paper", "learns")
    seconds = 5.0 if row.learns == "count" else float(rng.choice([20, 60, 62, 65, 70, 140])) * (1 + 0.05 * place)
    quality = 0.70 + 0.012 * place + float(rng.normal(0, 0.02))
    modes = {
        "frozen": mode(quality - 0.04, seconds / 3, 100 + place, "linear on the mean of the states"),
        "random": mode(quality - 0.07, seconds / 3, 200 + place, "linear on the mean of the states"),
        "finetune": mode(quality, seconds, 300 + place, "linear on the last state"),
        "scratch": mode(quality - float(rng.choice([-0.03, 0.0, 0.06])), seconds, 400 + place, "linear on the last state"),
    }
    trained = pretrain(row.name, seconds, 600_000_000, 20_000_000, 5_000_000, curve(8.0, 4.0, seconds))
    trained |= {"left_baseline": row.name != "albert", "passes": 1.2 if place % 4 else 31.0}
    bits = {
        "bits_per_character": measure(2.4 - 0.02 * place, 0.03),
        "each": blocks(2.4 - 0.02 * place),
        "perplexity_per_token": 50.0,
        "perplexity_per_word": 300.0,
    }
    found = {"tokens": 57_000, "words": 34_000, "characters": 201_000, "oov": 0, "blocks": 96, "seconds": 3.9, **bits, **SPENT}
    return {
        **{name: getattr(row, name) for name in copied},
        "asks": row.predicts,
        "abilities": list(row.abilities),
        "failures": [],
        "words": None,
        "pretrain": trained,
        "score": {"found": found} if "score" in row.abilities else {"why_not": f"it asks the text for {row.predicts}"},
        "modes": modes if "transfer" in row.abilities else {},
        "refusal": "" if "transfer" in row.abilities else f"{row.name} cannot be carried over to a task",
        "senses": {"probes": [probe("word in context", "the best layer (3)", "in-context", 0.5 + 0.02 * place)], "layers": []},
        "minimal": minimal_tests(0.5 + 0.02 * place) if {"score", "fill"} & set(row.abilities) else {"why_not": "it weighs no sentences"},
    }

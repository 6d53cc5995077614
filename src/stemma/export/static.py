# ruff: noqa: F722 (axis names stand in annotations)
"""A deep run distilled into static vectors: one for each token of its vocabulary, as MinishLab's model2vec makes them.

Each token is read by itself, framed as a text is, and its state in the last layer is its vector; the vectors are turned onto their main
axes, of which the first WIDTH are kept (PCA), and those of frequent tokens are made shorter (Arora 2017, section 3, by Zipf's law). A
text's vector is then the mean of its tokens', looked up: no network is run. The result is a run of word vectors with the deep run's
tokens, which `embed`, `nearest`, `evaluate` and `finetune` take.

How frequent a token is, its id says: vocabularies of pieces are numbered about from the frequent to the rare.
Axes: V vocabulary, D width of the states, K kept.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from stemma.checkpoint import RunFolder
from stemma.config import VERSION, to_plain
from stemma.export.aside import written_aside
from stemma.lineage.table import find
from stemma.nouns import counted
from stemma.runs import reading
from stemma.runs.run import Run

GENERATION = "word2vec"
WIDTH = 256  # numbers in a vector at most (K), as in model2vec
SMOOTHING = 1e-4  # a token of probability p is weighted by SMOOTHING / (SMOOTHING + p)


def write_static(run: Run, folder: Path) -> list[Path]:
    """The run folder of the run's static vectors."""
    vectors = static_vectors(run)
    row, specials = find(GENERATION), list(set(run.tokenizer.specials.values()))
    counts = np.ones(len(vectors), np.int64)
    counts[specials] = 0
    sections = {"tokenizer": to_plain(run.tokenizer.config), "model": to_plain(row.model_config()(width=vectors.shape[1]))}
    identity = {"generation": GENERATION, "corpus": [], "source": f"{run.path}, its tokens' vectors in {run.row.name}"}
    with written_aside(folder) as aside:
        made = RunFolder.create(aside, {"stemma": VERSION, "identity": identity, "sections": sections})
        run.tokenizer.save(made.tokenizer_path)
        made.append_metrics([{"kind": "done", "parameters": int(vectors.size)}])
        tensors = {"input": vectors, "output": np.zeros_like(vectors), "counts": counts}
        made.finish(_card(run, vectors), {"tokens": len(vectors), "specials": len(specials)}, tensors)
    return [folder]


def static_vectors(run: Run) -> Float[np.ndarray, "V K"]:
    """One vector a token; zeros for specials, which no text holds."""
    size, specials = run.tokenizer.vocab_size, set(run.tokenizer.specials.values())
    ids = [token for token in range(size) if token not in specials]
    states = np.zeros((len(ids), run.network.width), np.float32)
    for piece, found in reading.states(run.network, [np.array([token]) for token in ids], -1):
        states[piece.text] = found[0].mean(0)
    vectors = np.zeros((size, min(WIDTH, states.shape[1])), np.float32)
    vectors[ids] = on_main_axes(states, vectors.shape[1]) * zipf_weights(len(ids))[:, None]
    return vectors


def on_main_axes(vectors: Float[np.ndarray, "V D"], width: int) -> Float[np.ndarray, "V K"]:
    """The vectors less their mean, on the `width` axes of their greatest variance, each axis pointing to its largest component."""
    centred = vectors.astype(np.float64) - vectors.mean(0, dtype=np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)  # ascending
    axes = axes[:, ::-1][:, :width]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    found: np.ndarray = (centred @ axes).astype(np.float32)
    return found


def zipf_weights(tokens: int) -> Float[np.ndarray, " V"]:
    """What each token is multiplied by, the most frequent first: its probability is taken to be as 1 / its rank."""
    chances = 1 / np.arange(1, tokens + 1)
    chances /= chances.sum()
    return (SMOOTHING / (SMOOTHING + chances)).astype(np.float32)


def _card(run: Run, vectors: np.ndarray) -> str:
    lines = [
        f"# {GENERATION}: the static vectors of a run of {run.row.name}",
        "",
        f"Distilled by Stemma {VERSION} from the run {run.path} of {run.row.name} ({run.row.title}), which it needs no more.",
        f"{counted(len(vectors), 'token')}, {counted(vectors.shape[1], 'number')} each: the state of a token that was read by itself, on",
        "the main axes of all, and shorter the more frequent the token is by Zipf's law. Nothing was trained.",
        "",
        "A text's vector is the mean of its tokens'. A word of several pieces is known by its pieces alone.",
    ]
    return "\n".join(lines) + "\n"

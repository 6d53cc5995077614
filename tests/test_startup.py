"""Verbs that need no network load none: what starts a command is what it computes with."""

import subprocess
import sys
from pathlib import Path

import pytest

import stemma

TEXT = "\n\n".join(f"the old mill number {n % 7} turns by the river. 老磨坊在河边转动。" for n in range(60))
LOADED = "import sys\nfrom stemma.cli.main import main\ncode = main(sys.argv[1:])\nprint('LOADED', code, *sys.modules, file=sys.stderr)"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of the generations that need no network, and what the verbs use."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "corpus.txt").write_text(TEXT, encoding="utf-8")
    labelled = ("mill\tthe old mill turns", "river\tby the river", "mill\t老磨坊", "river\t在河边转动")
    (folder / "train.tsv").write_text("\n".join(["label\ttext", *(labelled * 10)]) + "\n", encoding="utf-8")
    for name in ("word2vec", "glove", "ngram"):
        small = ["tokenizer.min_count=1", *([] if name == "ngram" else ["training.steps=3"])]
        stemma.pretrain(name, folder / "corpus.txt", out=folder / name, preset="tiny", settings=small)
        stemma.finetune(folder / name, train=folder / "train.tsv", out=folder / f"{name}-task", frozen=True)
    for name in ("gpt", "bert", "lstm", "xlnet"):
        stemma.pretrain(name, folder / "corpus.txt", out=folder / name, preset="tiny", settings=["training.steps=1"])
    return folder


@pytest.mark.parametrize(
    ("command", "unneeded"),
    [
        ("--version", "torch numba numpy tyro"),
        ("--help", "torch numba numpy tyro"),
        ("lineage", "torch numba"),
        ("lineage word2vec", "torch numba"),
        ("info {home}/word2vec", "torch numba"),
        ("corpus check {home}/corpus.txt", "torch"),
        ("nearest {home}/word2vec mill", "torch numba"),
        ("nearest {home}/glove mill", "torch numba"),
        ("embed {home}/word2vec --text mill --text 磨坊", "torch numba"),
        ("embed {home}/glove --text mill", "torch numba"),
        ("predict {home}/word2vec-task --text mill --text 磨坊", "torch numba"),
        ("embed {home}/glove-task --text mill", "torch numba"),
        ("evaluate {home}/glove-task {home}/train.tsv", "torch numba"),
        ("predict {home}/ngram-task --text mill", "torch"),
        ("score {home}/ngram --text mill", "torch"),
        ("generate {home}/ngram --text mill", "torch"),
        (
            "pretrain word2vec {home}/corpus.txt --preset tiny --set training.steps=2 --set tokenizer.min_count=1 --out {home}/again",
            "torch",
        ),
        # PyTorch's compiler takes as long to load as PyTorch
        ("generate {home}/gpt --text mill --length 2", "torch._dynamo sympy"),
        ("score {home}/lstm --text mill", "torch._dynamo sympy"),
        ("embed {home}/xlnet --text mill", "torch._dynamo sympy"),
        ("fill {home}/bert --text [MASK]", "torch._dynamo sympy"),
    ],
)
def test_a_verb_loads_what_it_computes_with(home: Path, command: str, unneeded: str) -> None:
    words = command.format(home=home).split()
    done = subprocess.run([sys.executable, "-c", LOADED, *words], capture_output=True, text=True, check=False)
    loaded = done.stderr.rpartition("LOADED")[2].split()
    assert loaded and loaded[0] == "0", done.stderr
    assert not set(unneeded.split()) & set(loaded[1:])

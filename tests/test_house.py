"""Holds the house: which room may import which, what may be imported at all, and how fast the door opens."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "stemma"
ROOMS = (
    "kernels", "corpus", "tokens", "checkpoint", "layers", "objectives", "lineage", "tasks", "runs", "training", "transfer", "evaluation",
    "export", "serving", "api", "cli",
)  # fmt: skip
OPEN = {"bounds", "config", "errors", "nouns"}  # to all
PARENTS = {  # the family tree: a generation may import these and their parents
    "ngram": (), "nnlm": (), "word2vec": (), "glove": (), "lstm": (), "seq2seq": (), "elmo": ("lstm",), "transformer": ("seq2seq",),
    "gpt": ("transformer",), "gpt2": ("gpt",), "bert": ("transformer",), "bert_wwm": ("bert",), "albert": ("bert",), "tinybert": ("bert",),
    "xlnet": ("transformer",),
}  # fmt: skip
SHAPELESS = {"utils", "util", "common", "misc", "base", "helpers"}
STANDARD = sys.stdlib_module_names | {"compression"}  # new in Python 3.14
PACKAGE_OF = {"sklearn": "scikit-learn", "vl_convert": "vl-convert-python"}  # where the import's name is not the package's


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}


def typing_only(tree: ast.AST) -> set[ast.AST]:
    """The nodes under `if TYPE_CHECKING:`, which no interpreter ever runs."""
    guarded = [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test).endswith("TYPE_CHECKING")]
    return {inner for guard in guarded for statement in guard.body for inner in ast.walk(statement)}


def imported(name: str) -> set[str]:
    """Every module that the file names in an import, wherever it stands, those for types alone left out."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    skipped, found = typing_only(tree), set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are absolute"
            found |= {f"{node.module}.{a.name}" if f"{node.module}.{a.name}" in MODULES else node.module for a in node.names}
    return found


OURS = {name: imported(name) & MODULES.keys() - {name} for name in MODULES}


def room(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def ancestors(generation: str) -> set[str]:
    return {generation}.union(*(ancestors(parent) for parent in PARENTS[generation]))


def reachable(name: str) -> set[str]:
    seen: set[str] = set()
    todo = [name]
    while todo:
        if (module := todo.pop()) not in seen:
            seen.add(module)
            todo += OURS[module]
    return seen


def test_every_module_stands_in_a_known_room():
    assert {room(name) for name in MODULES} <= {"", "__main__", *ROOMS, *OPEN}


@pytest.mark.parametrize("name", [name for name in MODULES if room(name) in ROOMS])
def test_a_room_imports_only_what_stands_to_its_left(name):
    allowed = OPEN | {"", *ROOMS[: ROOMS.index(room(name)) + 1]}
    assert {other for other in OURS[name] if room(other) not in allowed} == set()


@pytest.mark.parametrize("name", sorted(OPEN))
def test_config_and_errors_import_no_room(name):
    assert {room(other) for other in OURS[f"stemma.{name}"]} <= OPEN


@pytest.mark.parametrize("name", [name for name in MODULES if room(name) == "lineage" and name.split(".")[-1] in PARENTS])
def test_the_import_graph_is_the_family_tree(name):
    siblings = {other.split(".")[2] for other in OURS[name] if room(other) == "lineage" and other.count(".") == 2} & PARENTS.keys()
    assert siblings <= ancestors(name.split(".")[2])


@pytest.mark.parametrize("name", [name for name in MODULES if room(name) == "training"])
def test_training_names_no_generation(name):
    contracts = {"stemma.lineage", "stemma.lineage.table", "stemma.lineage.network"}
    assert {other for other in OURS[name] if room(other) == "lineage"} <= contracts


@pytest.mark.parametrize("name", [name for name in MODULES if room(name) in ("tasks", "runs", "export", "serving")])
def test_whoever_uses_a_run_never_loads_what_trains(name):
    assert {other for other in reachable(name) if room(other) in ("training", "transfer")} == set()


def drawn() -> list[str]:
    """The files in the picture of docs/architecture.md, by their paths, in its order."""
    picture = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("```")[1]
    paths, folders = [], []
    for line in picture.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2  # two spaces a folder
        if folder := re.match(r" *(\S+)/( |$)", line):
            folders = [*folders[:depth], folder[1]]
        names = [name for name in line.split() if re.fullmatch(r"\w+\.py", name)]
        paths += ["/".join([*folders[:depth], name]).removeprefix("src/stemma/") for name in names]
    return paths


def test_the_picture_of_the_house_shows_every_file_and_no_other():
    files = {path.relative_to(SOURCE).as_posix() for path in MODULES.values() if path.name != "__init__.py"}
    assert (set(drawn()) - files, files - set(drawn())) == (set(), set()), "in docs/architecture.md alone, in src/stemma alone"
    assert len(drawn()) == len(files)


def test_the_picture_shows_the_rooms_in_the_order_of_the_flow():
    rooms = dict.fromkeys(path.split("/")[0].removesuffix(".py") for path in drawn())
    assert [name for name in rooms if name in ROOMS] == [name for name in ROOMS if f"stemma.{name}" in MODULES]


@pytest.mark.parametrize("path", sorted(SOURCE.glob("*/**/__init__.py")), ids=lambda path: path.parent.name)
def test_a_room_opens_with_its_docstring_and_nothing_else(path):
    body = ast.parse(path.read_text(encoding="utf-8")).body
    assert [type(node) for node in body] == [ast.Expr]
    assert isinstance(body[0].value, ast.Constant)


def test_every_file_is_named_for_what_it_holds():
    assert {name for name in MODULES if name.split(".")[-1] in SHAPELESS} == set()


def test_every_import_is_a_declared_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = project["dependencies"] + [line for extra in project["optional-dependencies"].values() for line in extra]
    declared = {re.split(r"[<>=\[ ;]", line)[0] for line in lines}
    used = {top: name for name in MODULES for top in {other.split(".")[0] for other in imported(name)}}
    foreign = {top: name for top, name in used.items() if top not in STANDARD and top != "stemma"}
    missing = {top: name for top, name in foreign.items() if PACKAGE_OF.get(top, top.replace("_", "-")) not in declared}
    assert missing == {}, "imported but neither in the dependencies nor in an extra of pyproject.toml"


def test_everything_we_depend_on_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = project["dependencies"] + [line for extra in project["optional-dependencies"].values() for line in extra]
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").split() if "==" in line)
    assert {re.split(r"[<>=\[ ;]", line)[0] for line in lines} - pins.keys() == set()


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after running the code."""
    script = f"{code}\nimport sys as s; print('LOADED', *sorted({{name.split('.')[0] for name in s.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("LOADED")[2].split())


HEAVY = {"torch", "numpy", "numba", "pydantic", "tokenizers", "sklearn", "scipy", "altair", "rich", "tyro"}
HELP = "from stemma.cli.main import main; main(['--help'])"


@pytest.mark.parametrize("code", ["import stemma", HELP, "import stemma; stemma.LINEAGE; stemma.UsageError"])
def test_the_door_opens_without_anything_heavy(code):
    assert loaded_by(code) & HEAVY == set()


@pytest.mark.parametrize("argv", [["lineage"], ["corpus", "check", "no-such-file"]])
def test_the_light_verbs_need_no_torch(argv):
    assert "torch" not in loaded_by(f"from stemma.cli.main import main; main({argv})")


def test_corpus_and_tokens_never_import_torch():
    free = [name for name in MODULES if room(name) in ("kernels", "corpus", "tokens", "checkpoint")]
    free += [name for name in ("stemma.lineage.ngram", "stemma.objectives.counts") if name in MODULES]
    assert "torch" not in loaded_by("\n".join(f"import {name}" for name in free))


def test_the_version_is_the_installed_one():
    import stemma

    try:
        installed = importlib.metadata.version("stemma-nlp")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("run from the source tree, not installed")
    assert stemma.__version__ == installed

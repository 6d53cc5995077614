"""The sdist holds all that its tests read, the wheel made of it all that runs, and what it installs is a working `stemma`."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from stemma.config import VERSION

ROOT = Path(__file__).resolve().parents[1]
LOCAL = {".git", ".venv", "build", "dist", "runs", "demo", ".pytest_cache", ".ruff_cache", ".mypy_cache", ".hypothesis"}  # not in git
TREES = sorted(child.name for child in ROOT.iterdir() if child.is_dir() and child.name not in {*LOCAL, "src"})
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, 'build_' + sys.argv[1])(sys.argv[2]))"


def built(kind: str, source: Path, place: Path) -> Path:
    """The sdist or wheel of a source tree, made without isolation: nothing is fetched."""
    done = subprocess.run([sys.executable, "-c", BUILD, kind, str(place)], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return place / done.stdout.splitlines()[-1]


def files_of(folder: Path) -> set[str]:
    """Files of a source tree but for what is made from them."""
    made = {"__pycache__", ".pytest_cache", "results"}
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and not made & set(path.parts)}


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, unpacked."""
    pytest.importorskip("setuptools", minversion="77")
    place = tmp_path_factory.mktemp("sdist")
    copy = place / "copy"  # setuptools writes beside what it reads
    copy.mkdir()
    for child in ROOT.iterdir():
        if child.name not in LOCAL:
            (copy / child.name).symlink_to(child)
    with tarfile.open(built("sdist", copy, place)) as archive:
        archive.extractall(place, filter="data")
    return place / f"stemma_nlp-{VERSION}"


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is made of the sdist, installed into a folder of its own."""
    place = tmp_path_factory.mktemp("wheel")
    file = built("wheel", sdist, place)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile", "--target", str(place / "site")]
    subprocess.run([*pip, str(file)], check=True)
    with zipfile.ZipFile(file) as archive:
        assert not [name for name in archive.namelist() if not name.startswith(("stemma/", f"stemma_nlp-{VERSION}.dist-info/"))]
    return place / "site"


@pytest.mark.parametrize("folder", ["src/stemma", *TREES])
def test_the_sdist_holds_what_stands_here(sdist: Path, folder: str) -> None:
    assert files_of(sdist / folder) == files_of(ROOT / folder)


def test_the_sdist_holds_the_files_beside_them(sdist: Path) -> None:
    assert {path.name for path in ROOT.iterdir() if path.is_file()} - {".git"} <= {path.name for path in sdist.iterdir()}


def test_the_wheel_holds_the_package_and_its_data(wheel: Path) -> None:
    assert files_of(wheel / "stemma") == files_of(ROOT / "src/stemma")


def with_machine_code(package: Path) -> None:
    """The kernels that this checkout has compiled already serve there too, whose sources are the same; else minutes would go by."""
    for source in (ROOT / "src/stemma/kernels").glob("*.py"):
        shutil.copystat(source, package / "kernels" / source.name)  # by whose date Numba knows it
    cache = package / "kernels/__pycache__"
    cache.mkdir(exist_ok=True)
    for code in (ROOT / "src/stemma/kernels/__pycache__").glob("*.nb[ic]"):
        shutil.copy2(code, cache)


@pytest.mark.timeout(900)
def test_what_the_wheel_installs_runs(wheel: Path, tmp_path: Path) -> None:
    with_machine_code(wheel / "stemma")
    (tmp_path / "corpus.txt").write_text("the old mill turns by the river\n老磨坊在河边转动\n\n" * 40, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(wheel), "OMP_NUM_THREADS": "1"}

    def stemma(*words: str) -> str:
        command = [sys.executable, str(wheel / "bin/stemma"), *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert stemma("--version") == f"stemma {VERSION}\n"
    assert stemma("--help").startswith("usage: stemma VERB")
    assert "xlnet" in stemma("lineage")
    stemma("pretrain", "ngram", "corpus.txt", "--out", "run", "--preset", "tiny")
    assert "bits_per_character" in stemma("score", "run", "--text", "the mill", "--json")
    assert (
        str(wheel)
        in subprocess.run(
            [sys.executable, "-c", "import stemma; print(stemma.__file__)"],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )


def test_the_citation_is_one() -> None:
    """What CFF 1.2.0 asks for, and the version that is installed."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["cff-version"] == "1.2.0" and citation["type"] in ("software", "dataset")
    assert str(citation["version"]) == VERSION
    assert all(
        author.keys() <= {"name", "website", "email", "alias", "given-names", "family-names", "orcid"} for author in citation["authors"]
    )
    known = {"abstract", "keywords", "license", "repository-code", "url", "doi", "date-released", "references", "preferred-citation"}
    assert citation.keys() <= known | {"cff-version", "message", "title", "authors", "type", "version"}

"""Builds the documentation in each of its languages, into the folder that the package carries: `python docs/build.py`, or `make docs`."""

import argparse
import logging
import shutil
import sys
from pathlib import Path

from mkdocs.commands.build import build
from mkdocs.config import load_config

DOCS = Path(__file__).resolve().parent
SITE = DOCS.parent / "src/stemma/site"


def main() -> None:
    """Writes `site/LANGUAGE` for each language, and the page that chooses one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=SITE, help="a folder that is not there yet; without this option the package's own, which is made anew"
    )
    site = parser.parse_args().out.resolve()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    if site == SITE:
        shutil.rmtree(site, ignore_errors=True)
    elif site.exists():
        parser.error(f"{site} is there already")
    for folder in sorted(path.parent for path in (DOCS / "site").glob("*/index.md")):
        config = load_config(str(DOCS / f"site/mkdocs.{folder.name}.yml"), site_dir=str(site / folder.name), strict=True)
        build(config)
        for spare in ("sitemap.xml*", "objects.inv", "**/*.map"):  # of use to a site with an address, and to those who mend its scripts
            for path in list((site / folder.name).glob(spare)):
                path.unlink()
    shutil.copyfile(DOCS / "site/index.html", site / "index.html")
    sys.stdout.write(f"{site / 'index.html'}\n")


if __name__ == "__main__":
    main()

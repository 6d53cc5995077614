"""The table of all claims, from the verdicts that stand beside the pages."""

import argparse
import json
from pathlib import Path


def main() -> None:
    """Prints it as Markdown."""
    parser = argparse.ArgumentParser(prog="table.py", description="the table of all claims")
    parser.add_argument("--pages", type=Path, default=Path(__file__).parent / "pages")
    pages = parser.parse_args().pages
    verdicts = sorted(
        (json.loads(path.read_text(encoding="utf-8")) for path in pages.glob("*.json")), key=lambda verdict: verdict["letter"]
    )
    print("| claim | holds here | by how much | command |\n| --- | --- | --- | --- |")
    for verdict in verdicts:
        claim = f"({verdict['letter']}) [{verdict['claim']}]({verdict['page']})"
        print(f"| {claim} | {verdict['holds']} | {verdict['by']} | `{verdict['command']}` |")


if __name__ == "__main__":
    main()

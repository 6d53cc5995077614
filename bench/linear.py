"""What reading costs as the text grows: so many copies of a corpus into the tokens of an n-gram model, and how many copies that is in cost.

    python bench/linear.py [CORPUS] [--copies 1 3 10] [--mb 5.5]

Each row is a process of its own. CPU seconds are of reading, learning the words and writing the token store, compiling apart; memory is
the most that the process held, disk what the store takes. The last line printed is JSON.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from processes import cost
from texts import plain

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "data" / "text-en-novels" / "train.txt.xz"
READ = """
import json, sys
from pathlib import Path
from stemma.kernels.clocks import working
from stemma.training.ingest import ingest
from stemma.training.request import Request, job_of
job = job_of(Request.of("ngram", sys.argv[1]))
began = working()
text = ingest(job.source, job.sections["tokenizer"], Path(sys.argv[2]), lambda _: None)
spent = working().minus(began)
disk_mb = sum(file.stat().st_size for file in Path(sys.argv[2]).rglob("*") if file.is_file()) / 1e6
print(json.dumps({"cpu_seconds": spent.cpu_seconds, "tokens": len(text.train.ids), "disk_mb": disk_mb}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="?", type=Path, default=CORPUS)
    parser.add_argument("--copies", nargs="+", type=int, default=[1, 3, 10])
    parser.add_argument("--mb", type=float, default=0.0, help="megabytes of its beginning; 0: all of it")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        text = plain(options.corpus, Path(folder) / "text", int(options.mb * 1e6))
        for copies in options.copies:
            place = Path(folder) / f"{copies}-copies"
            place.mkdir()
            for number in range(copies):
                os.link(text, place / f"{number}.txt")
            with tempfile.TemporaryFile() as printed:
                taken = cost([sys.executable, "-c", READ, str(place), str(Path(folder) / f"store-{copies}")], printed)
                printed.seek(0)
                found = json.loads(printed.read())
            row = {"copies": copies, "mb": copies * text.stat().st_size / 1e6, **found, "peak_mib": taken.peak_mib}
            rows.append(row)
            rate, each = row["mb"] / row["cpu_seconds"], row["cpu_seconds"] / copies * rows[0]["copies"] / rows[0]["cpu_seconds"]
            print(
                f"{copies:3d} copies  {row['mb']:7.1f} MB  {row['tokens']:12,d} tokens  {row['cpu_seconds']:7.1f} CPU s  {rate:5.2f} MB/s  "
                f"{each:5.2f} of the first row's a copy  {row['peak_mib']:6.0f} MiB  {row['disk_mb']:7.1f} MB on disk",
                flush=True,
            )
    print(json.dumps(rows))


if __name__ == "__main__":
    main()

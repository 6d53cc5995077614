"""Pre-training: one call for every row of the table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stemma.checkpoint import RunFolder
from stemma.training.order import Report, make_order
from stemma.training.settings import Fact


def pretrain(
    generation: str,
    corpus: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    preset: str | None = None,
    config: str | Path | None = None,
    settings: Sequence[str] = (),
    dev: str | Path | Sequence[str | Path] = (),
    workers: int = 1,
    store: str | Path | None = None,
    continue_from: str | Path | None = None,
    progress: Report | None = None,
) -> RunFolder:
    """The finished run folder of `generation`, pre-trained on `corpus`.

    The same call again goes on where a killed one was, to the same weights bit for bit; a finished run
    is returned as it is. `settings` are `section.key=value` texts; `config` is a TOML file; both win
    over the preset. `dev` is held-out text; without it a share of the corpus is held out. Token stores
    are kept under `store` (default: inside the run folder). The preset is `small` unless another is named.

    `continue_from` is a finished run whose settings and whose weights this one begins with (word2vec): its words
    keep their ids and vectors, words of the new corpus that it lacks are added, and the counts are summed.
    """
    asked: dict[str, Any] = {"preset": preset, "config": config, "settings": settings, "dev": dev, "workers": workers}
    order = make_order(generation, corpus, continue_from=continue_from, **asked)
    path, report = Path(out), progress or _silent
    root = Path(store) if store else path / "store"
    if order.row.learns == "count":
        from stemma.training import counting

        return counting.run(order, path, root, report)
    from stemma.training import descend  # torch: not for generations that count

    with descend.session(order.sections["training"]) as run:
        return run(order, path, root, report)


def _silent(_: Fact) -> None:
    """Progress that nobody watches."""

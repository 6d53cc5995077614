"""The report's section on layers: how much of each the task network mixed into what it read (Peters 2018, equation 1)."""

from collections.abc import Sequence
from html import escape

from stemma.evaluation.comparison.results import GenerationResults, Results
from stemma.evaluation.report import tables
from stemma.evaluation.report.wording import percent

MODE = "frozen-network"
LEAST = 0.06  # share of a bar that has room for its figure


def layers(results: Results) -> str:
    """The section's HTML; nothing where no task network had several layers to choose from."""
    mixed = [(generation, shares) for generation in results.generations if len(shares := _shares(generation)) > 1]
    if not mixed:
        return ""
    lead = (
        "A frozen network's layers are mixed into one, by shares that the task learns beside its head: from the embeddings on the left to "
        "the last layer on the right. A layer with a large share says something that the task can use, and that its neighbours do not say "
        "as well; layers that say the same may share in any way. The shares are those of the seed that was best on the selection part."
    )
    rows = [f"<tr>{tables.name_cell(generation)}<td>{_bar(generation, shares)}</td></tr>" for generation, shares in mixed]
    return f'<p class="lead">{lead}</p>{tables.table(["Representation", "Share of each layer, %"], rows, "Shares of the layers")}'


def _shares(generation: GenerationResults) -> Sequence[float]:
    result = generation.modes.get(MODE)
    return result.layers if result else ()


def _bar(generation: GenerationResults, shares: Sequence[float]) -> str:
    """One part a layer, the deeper the stronger its colour; each says what it is where the pointer rests."""
    parts = []
    for number, share in enumerate(shares):
        name = f"layer {number}" if number else "embeddings"
        strength = 25 + 60 * number / (len(shares) - 1)
        shown = percent(share) if share >= LEAST else ""
        parts.append(
            f'<span style="flex-grow:{share:.4f};--part:{strength:.0f}%" title="{escape(name)}: {percent(share)} %">'
            f'<data value="{share!r}">{shown}</data></span>'
        )
    return f'<div class="mix" style="--colour:{generation.colour}">{"".join(parts)}</div>'

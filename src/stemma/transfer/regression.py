"""Linear models over fixed features: how the linear head of every frozen run is fitted.

Numbers by least squares with a penalty on the weights (ridge), classes by multinomial logistic regression, which
minimises C * sum of cross-entropies + |W|^2 / 2 by L-BFGS with a strong Wolfe line search, the
objective of scikit-learn's LogisticRegression (biases unpenalised). Axes: N examples, F features, K classes.
"""

import numpy as np
import torch
from torch import Tensor

from stemma.runs.linear import CHUNK, Design
from stemma.runs.linear_head import LinearHead
from stemma.tasks.task import Link

MODELS: dict[Link, str] = {
    "softmax": "multinomial logistic regression",
    "logistic": "a logistic regression a label",
    "identity": "ridge regression",
    "within": "conditional logistic regression (a softmax over an example's rows)",
}  # in words


def standardiser(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (F) of the features; a constant feature keeps scale 1."""
    dtype = torch.float64 if features.dtype == torch.float64 else torch.float32
    count = features.shape[0]
    mean = sum(part.to(torch.float64).sum(0) for part in features.split(CHUNK)) / count
    spread = sum((part.to(torch.float64) - mean).square().sum(0) for part in features.split(CHUNK)) / count
    scale = spread.sqrt()
    floor = 1e-6 * (1 + mean.abs())  # below this a "spread" is rounding
    return mean.to(dtype), torch.where(scale > floor, scale, torch.ones_like(scale)).to(dtype)


def fit(design: Design, labels: np.ndarray, classes: int, c: float, start: LinearHead | None = None, steps: int = 100) -> LinearHead:
    """The head that minimises the penalised loss; `start` warms it up with a neighbour's solution."""
    gold = torch.as_tensor(np.asarray(labels), dtype=torch.long)
    count, width = design.shape
    # Two softmax columns share what scikit-learn's single binary one carries: w = w1 - w0, so |w|^2 = 2 |W|^2.
    penalty = (2.0 if classes == 2 else 1.0) / (c * count)
    # Weights and loss in double, products in the features' precision: the line search needs the digits.
    weights = torch.zeros(width, classes, dtype=torch.float64) if start is None else torch.tensor(start.weights, dtype=torch.float64)
    biases = torch.zeros(classes, dtype=torch.float64) if start is None else torch.tensor(start.biases, dtype=torch.float64)
    tight = 1e-8 if design.dtype == torch.float64 else 1e-5
    optimiser = torch.optim.LBFGS(
        [weights, biases],
        max_iter=steps,
        tolerance_grad=tight,
        tolerance_change=tight * 1e-3,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    @torch.no_grad()
    def closure() -> Tensor:
        logs = (design.times(weights.to(design.dtype)) + biases).log_softmax(-1)
        residuals = logs.exp()
        residuals[torch.arange(count), gold] -= 1
        residuals /= count
        weights.grad = design.transposed_times(residuals.to(design.dtype)) + penalty * weights
        biases.grad = residuals.sum(0)
        return -logs[torch.arange(count), gold].mean() + 0.5 * penalty * weights.square().sum()

    optimiser.step(closure)
    return LinearHead(weights.to(design.dtype).numpy(), biases.to(design.dtype).numpy())


def fit_rows(
    design: Design, gold: np.ndarray, classes: int, c: float, link: Link = "softmax", starts: np.ndarray | None = None
) -> LinearHead:
    """The head for class numbers (N); for columns (N K) of 0 and 1, each a regression of its own; or for numbers (N).

    Or for the place of the right row (G K) of each of G groups, whose borders (G+1) `starts` are.
    """
    if link == "within":
        assert starts is not None
        return fit_within(design, gold, starts, c)
    if link == "softmax":
        return fit(design, gold, classes, c)
    if link == "identity":
        return ridge(design, gold, c)
    heads = [fit(design, column, 2, c) for column in gold.T]
    weights = np.stack([head.weights[:, 1] - head.weights[:, 0] for head in heads], 1)
    biases = np.stack([head.biases[1] - head.biases[0] for head in heads])
    return LinearHead(weights, biases, "logistic")


def fit_within(design: Design, right: np.ndarray, starts: np.ndarray, c: float, steps: int = 100) -> LinearHead:
    """The head that minimises C * sum of cross-entropies of the right row (G K) within its group + |W|^2 / 2 (McFadden 1974).

    Each column is a model of its own. What all rows of a group share cancels, a bias too.
    """
    groups, columns, width = len(starts) - 1, right.shape[1], design.shape[1]
    owner = torch.from_numpy(np.repeat(np.arange(groups), np.diff(starts)))[:, None].expand(-1, columns)
    chosen, each = torch.from_numpy(starts[:-1, None] + right), torch.arange(columns)
    weights = torch.zeros(width, columns, dtype=torch.float64)
    tight = 1e-8 if design.dtype == torch.float64 else 1e-5
    optimiser = torch.optim.LBFGS(
        [weights], max_iter=steps, tolerance_grad=tight, tolerance_change=tight * 1e-3, history_size=10, line_search_fn="strong_wolfe"
    )

    @torch.no_grad()
    def closure() -> Tensor:
        scores = design.times(weights.to(design.dtype)).double()  # (M K)
        top = torch.full((groups, columns), -torch.inf, dtype=torch.float64).scatter_reduce(0, owner, scores, "amax")
        powers = (scores - top.gather(0, owner)).exp()
        sums = torch.zeros(groups, columns, dtype=torch.float64).scatter_add(0, owner, powers)
        residuals = powers / sums.gather(0, owner)
        nats = sums.log() + top - scores[chosen, each]
        residuals[chosen, each] -= 1
        weights.grad = design.transposed_times((residuals / groups).to(design.dtype)).double() + weights / (c * groups)
        return nats.sum() / groups + 0.5 * weights.square().sum() / (c * groups)

    optimiser.step(closure)
    found = weights.to(design.dtype).numpy()
    return LinearHead(found, np.zeros(columns, dtype=found.dtype), "within")


def ridge(design: Design, numbers: np.ndarray, c: float, steps: int = 200) -> LinearHead:
    """The head that minimises C * sum of squares / 2 + |w|^2 / 2 for numbers (N) put to mean 0 and deviation 1, by conjugate gradients.

    That is scikit-learn's Ridge of the numbers so put, with alpha = 1 / C; weights and bias are of the numbers as they are.
    """
    mean, scale = float(np.mean(numbers)), float(np.std(numbers)) or 1.0
    centred = torch.as_tensor((np.asarray(numbers, dtype=np.float64) - mean) / scale)[:, None]
    count = len(numbers)
    centre = design.transposed_times(torch.ones(count, 1, dtype=design.dtype)).double() / count  # the mean of each feature (F 1)

    def normal(weights: Tensor) -> Tensor:
        """(X'X + I / C) @ weights for centred features X, which leaves the bias free of the penalty."""
        products = design.times(weights.to(design.dtype)).double()
        back = design.transposed_times((products - products.mean()).to(design.dtype)).double()
        return back + weights / c

    weights = torch.zeros(design.shape[1], 1, dtype=torch.float64)
    rest = design.transposed_times(centred.to(design.dtype)).double()
    direction, size = rest.clone(), float(rest.square().sum())
    enough = size * (1e-10 if design.dtype == torch.float64 else 1e-6) ** 2
    for _ in range(steps):
        if size <= enough:
            break
        turned = normal(direction)
        step = size / float((direction * turned).sum())
        weights, rest = weights + step * direction, rest - step * turned
        before, size = size, float(rest.square().sum())
        direction = rest + size / before * direction
    bias = mean - scale * float((centre * weights).sum())
    found = (scale * weights).to(design.dtype).numpy()
    return LinearHead(found, np.array([bias], dtype=found.dtype), "identity")

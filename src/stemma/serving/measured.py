"""What the server counts of itself, as Prometheus reads it. No text is among it."""

from typing import Any

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
TOKENS = (16, 64, 256, 1024, 4096, 16384, 65536)
MOST_LABELS = 100  # of a model, that are counted by name


class Measured:
    """Counters and histograms of one server."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.registry = CollectorRegistry()
        kept: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter("stemma_requests", "Requests by route and status code.", ("route", "code"), **kept)
        self.seconds = Histogram("stemma_request_seconds", "From a request's arrival to its end.", ("route",), buckets=SECONDS, **kept)
        self.waited = Histogram("stemma_queue_seconds", "What a request waited to be computed.", ("model",), buckets=SECONDS, **kept)
        self.computed = Histogram("stemma_batch_seconds", "What computing together took.", ("model",), buckets=SECONDS, **kept)
        self.together = Histogram("stemma_batch_inputs", "Inputs that were computed together.", ("model",), buckets=SIZES, **kept)
        self.tokens = Histogram("stemma_batch_tokens", "Tokens that were computed together.", ("model",), buckets=TOKENS, **kept)
        self.padding = Counter("stemma_padding_tokens", "Positions that only fill rows up.", ("model",), **kept)
        self.read = Counter("stemma_tokens", "Tokens that were read.", ("model",), **kept)
        self.cut = Counter("stemma_truncated_inputs", "Inputs whose end was not read.", ("model",), **kept)
        self.labels = Counter("stemma_predictions", "Predictions by label.", ("model", "label"), **kept)
        self.loading = Gauge("stemma_model_load_seconds", "What loading the version in use took.", ("model",), **kept)
        self.version = Gauge("stemma_model_version", "The version in use.", ("model",), **kept)
        self.inside = Gauge("stemma_requests_in_progress", "Requests that are not answered yet.", **kept)

    def page(self) -> tuple[bytes, str]:
        """The numbers as they stand, and the kind of text that they are."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(self.registry), CONTENT_TYPE_LATEST

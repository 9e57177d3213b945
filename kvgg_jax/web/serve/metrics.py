"""What the server counts, for Prometheus: a registry of its own, read at /metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

TEXT = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1, 1.5, 2, 3, 5, 10, 30, 60)


class Gauges:
    """Counters and histograms. Only `paths` are told apart: an attacker could name endless ones."""

    def __init__(self, *, paths: Iterable[str], sizes: Iterable[int]) -> None:
        self.registry = CollectorRegistry()
        self._paths = frozenset(paths)
        self._requests = self._counter("requests", "Answers by path and status.", "path", "status")
        self._images = self._counter("pictures", "Pictures by what became of them.", "outcome")
        for outcome in ("judged", "unreadable"):
            self._images.labels(outcome)
        self._seconds = self._histogram("request_seconds", "Of a request.", SECONDS, "path")
        self._batch = self._histogram("batch_pictures", "Judged at once.", tuple(sizes))
        self._judging = self._histogram("batch_seconds", "In which a batch was judged.", SECONDS)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"kvgg_{name}", text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(f"kvgg_{name}", text, labels, registry=self.registry, buckets=buckets)

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A figure that is asked for when somebody reads."""
        Gauge(f"kvgg_{name}", text, registry=self.registry).set_function(value)

    def request(self, path: str, status: int, seconds: float) -> None:
        """One was answered; status 0 is one that its sender left."""
        known = path if path in self._paths else "other"
        self._requests.labels(known, str(status)).inc()
        self._seconds.labels(known).observe(seconds)

    def images(self, outcome: str, count: int = 1) -> None:
        """`judged` or `unreadable`."""
        self._images.labels(outcome).inc(count)

    def batch(self, images: int, seconds: float) -> None:
        """One was judged."""
        self._batch.observe(images)
        self._judging.observe(seconds)

    def text(self) -> bytes:
        """In the text format of Prometheus."""
        return generate_latest(self.registry)

"""`/metrics` for Prometheus: what this process has served, and how the queue stands."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from web.health import PATIENCE, given_up

# Reads take about 2 ms, mutations 10, a password 150; above 10 s something hangs.
BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

Gauges = Callable[[], Awaitable[Mapping[str, float]]]


class Metrics:
    """The figures of one process. A registry of its own, so that two apps in one process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self._requests = Counter("antiphon_requests", "Requests served", labels, registry=self.registry)
        self._seconds = Histogram(
            "antiphon_request_seconds", "Time to serve", labels[:2], registry=self.registry, buckets=BUCKETS
        )
        self._gauges: dict[str, Gauge] = {}
        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram | None]] = {}

    def served(self, method: str, route: str, status: int, seconds: float) -> None:
        """Each of `method` and `route` is one of a few."""
        series = self._series.get((method, route, status))
        if series is None:  # to find them by their labels takes twice as long as to count
            timed = method != "WEBSOCKET"
            found = self._requests.labels(method, route, str(status))
            series = found, self._seconds.labels(method, route) if timed else None
            self._series[method, route, status] = series
        requests, latencies = series
        requests.inc()
        if latencies is not None:
            latencies.observe(seconds)

    def set(self, values: Mapping[str, float]) -> None:
        """The gauges as they stand; those without a value are gone, lest they show an old one for ever."""
        for name in self._gauges.keys() - values.keys():
            self.registry.unregister(self._gauges.pop(name))
        for name, value in values.items():
            if name not in self._gauges:
                self._gauges[name] = Gauge(f"antiphon_{name}", name.replace("_", " "), registry=self.registry)
            self._gauges[name].set(value)


def metrics_route(metrics: Metrics, gauges: Gauges) -> Route:
    """`gauges` is asked at each scrape; without an answer in time the counters are served alone."""

    async def scrape(request: Request) -> Response:
        metrics.set(await given_up(gauges(), after_seconds=PATIENCE) or {})
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return Route("/metrics", scrape)

"""Measurements in the text formats of Prometheus."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from cost_insights.telemetry.instruments import Instrument, InstrumentKind


def rendered(
    definitions: Sequence[Instrument], values: Sequence[float], accept: str
) -> tuple[bytes, str]:
    """The text of the measurements and its content-type, as whoever reads it accepts it."""
    encode, content_type = choose_encoder(accept)
    registry = CollectorRegistry()
    registry.register(_Measured(definitions, values))
    return encode(registry), content_type


class _Measured(Collector):
    """The measurements as families of the library."""

    def __init__(self, definitions: Sequence[Instrument], values: Sequence[float]) -> None:
        self._definitions = definitions
        self._values = values

    def describe(self) -> Iterable[Metric]:
        """No family: nothing else is in the registry that could have the same name."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The families with their samples."""
        for definition in self._definitions:
            yield _FAMILIES[definition.kind](definition, self._values)


def _numbers(definition: Instrument, values: Sequence[float]) -> Metric:
    family: CounterMetricFamily | GaugeMetricFamily
    if definition.kind is InstrumentKind.COUNTER:
        family = CounterMetricFamily(
            definition.name, definition.help, labels=definition.label_names
        )
    else:
        family = GaugeMetricFamily(definition.name, definition.help, labels=definition.label_names)
    for labels, place in definition.places.items():
        if values[place] or definition.shows_zeros:
            family.add_metric(labels, values[place])
    return family


def _buckets(definition: Instrument, values: Sequence[float]) -> Metric:
    family = HistogramMetricFamily(definition.name, definition.help, labels=definition.label_names)
    names = [*map(floatToGoString, definition.bounds), "+Inf"]
    for labels, place in definition.places.items():
        counts = list(accumulate(values[place + 1 : place + 1 + len(names)]))
        if counts[-1] or definition.shows_zeros:
            family.add_metric(labels, list(zip(names, counts, strict=True)), values[place])
    return family


_FAMILIES = {
    InstrumentKind.COUNTER: _numbers,
    InstrumentKind.GAUGE: _numbers,
    InstrumentKind.HISTOGRAM: _buckets,
}

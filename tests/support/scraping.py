"""Reading the measurements of a service as Prometheus does."""

from collections.abc import Mapping

import httpx
from prometheus_client.parser import text_string_to_metric_families

Series = tuple[str, tuple[tuple[str, str], ...]]
"""The name of a sample, and its labels in order."""


class Measured:
    """What one scrape has found."""

    def __init__(self, text: str) -> None:
        self.families = {one.name: one for one in text_string_to_metric_families(text)}
        self.samples: Mapping[Series, float] = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        """The value of a sample; 0 where there is none."""
        return self.samples.get((name, tuple(sorted(labels.items()))), 0.0)


def scraped(address: str) -> Measured:
    """The measurements at an address."""
    return Measured(httpx.get(f"http://{address}/metrics").raise_for_status().text)

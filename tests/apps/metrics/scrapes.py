"""Scrapes as a monitoring system reads them."""

from prometheus_client.parser import text_string_to_metric_families

from tests.actors import Person

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: str) -> Series:
    families = list(text_string_to_metric_families(text))
    assert all(family.documentation for family in families), "a metric without a word of help"
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def value(series: Series, name: str, **labels: str) -> float:
    return series.get((name, frozenset(labels.items())), 0.0)


async def scraped(person: Person) -> Series:
    return parsed((await person.get("/metrics")).expecting(200).body.decode())

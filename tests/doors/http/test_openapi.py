"""The OpenAPI document names everything that the door answers, and the page shows it."""

import json
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

import httpx
import pytest

from cost_insights.api.compatible import ENDPOINTS
from cost_insights.api.compatible.descriptions import DESCRIPTIONS, SCHEMAS
from cost_insights.doors.http.openapi import document
from tests.support.sdks import NODE_MODULES
from tests.support.service import METHODS


def test_every_endpoint_is_described() -> None:
    """Each endpoint has a description, and nothing else has."""
    assert set(DESCRIPTIONS) == {endpoint.name for endpoint in ENDPOINTS}


def test_every_rpc_is_described(stranger: httpx.Client) -> None:
    """Each RPC that is no stream is described, with the comment of its proto."""
    paths = stranger.get("/openapi.json").json()["paths"]
    for path, method in METHODS.items():
        if method.server_streaming:
            assert path not in paths
        else:
            assert paths[path]["post"]["summary"]


def test_every_reference_leads_somewhere() -> None:
    """Each schema that is referred to is there, and each that is ours is referred to."""
    text = document()
    referred = set(re.findall(r'"#/components/schemas/([\w.]+)"', text))
    schemas = httpx.Response(200, text=text).json()["components"]["schemas"]
    assert referred <= set(schemas)
    assert set(SCHEMAS) <= referred


def without_description(schema: Any, path: str) -> Iterator[str]:
    """The paths of properties in a schema, at any depth, that nothing is said about."""
    if isinstance(schema, dict):
        for name, one in schema.get("properties", {}).items():
            if not one.get("description"):
                yield f"{path}.{name}"
        nested = [*schema.get("properties", {}).items(), ("items", schema.get("items"))]
        nested.append(("additionalProperties", schema.get("additionalProperties")))
        for several in ("allOf", "anyOf", "oneOf"):
            nested += [(several, one) for one in schema.get(several, ())]
        for name, one in nested:
            yield from without_description(one, f"{path}.{name}")


def test_everything_is_described() -> None:
    """Every schema, property and parameter has a description."""
    described = json.loads(document())
    missing = []
    for name, schema in described["components"]["schemas"].items():
        missing += [] if schema.get("description") else [name]
        missing += without_description(schema, name)
    for path, methods in described["paths"].items():
        for operation in methods.values():
            parameters = operation.get("parameters", ())
            missing += [f"{path}: {one['name']}" for one in parameters if not one["description"]]
            for one in (operation.get("requestBody", {}), *operation["responses"].values()):
                for media in one.get("content", {}).values():
                    missing += without_description(media["schema"], path)
    assert missing == []


def test_the_page_is_that_of_npm() -> None:
    """Every file of Swagger UI is as the package has it whose version the lock file pins."""
    folder = resources.files("cost_insights.doors.http").joinpath("swagger_ui")
    names = [file.name for file in folder.iterdir()]
    assert "swagger-ui-bundle.js" in names
    for name in names:
        origin = NODE_MODULES / "swagger-ui-dist" / name
        assert folder.joinpath(name).read_bytes() == origin.read_bytes(), name


@pytest.mark.parametrize("path", ["/docs", "/docs/start.js"])
def test_the_page(stranger: httpx.Client, path: str) -> None:
    """The page loads nothing from elsewhere, and everything it loads is there."""
    answer = stranger.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"].startswith("default-src 'self';")
    assert "//" not in answer.text
    for linked in re.findall(r'(?:src|href)="([^"]+)"', answer.text):
        assert stranger.get(f"/{linked}").status_code == 200

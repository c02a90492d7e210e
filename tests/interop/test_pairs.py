"""The requests of `proto/examples` are answered as their answers say, through either door."""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import json_format, message_factory
from google.rpc import status_pb2

from tests.support.pairs import PAIRS, REQUESTS, Pair, without_ids
from tests.support.programs import ProgramError, output_of
from tests.support.service import METHODS, Service


def test_each_request_has_its_answer() -> None:
    """No request is without an answer, and no answer without a request."""
    assert PAIRS.keys() == REQUESTS
    assert all(f"/{pair.method}" in METHODS for pair in PAIRS.values())
    assert all((pair.answer is None) != (pair.error is None) for pair in PAIRS.values())


def by_grpcurl(service: Service, token: str, pair: Pair) -> Mapping[str, Any]:
    """The answer by gRPC, as grpcurl prints it, or the error."""
    header = ("-H", f"authorization: Bearer {token}")
    ask = ("-d", pair.path.read_text(), service.address, pair.method)
    try:
        return dict(json.loads(output_of("grpcurl", "-plaintext", "-format-error", *header, *ask)))
    except ProgramError as error:
        status = json_format.Parse(str(error), status_pb2.Status())
        return json_format.MessageToDict(status, preserving_proto_field_name=True)


def by_connect(service: Service, token: str, pair: Pair) -> Mapping[str, Any]:
    """The answer by the Connect protocol in JSON, or what an error of it says."""
    answer = httpx.post(
        f"{service.url}/{pair.method}",
        content=pair.path.read_bytes(),
        headers={"content-type": "application/json", "authorization": f"Bearer {token}"},
        timeout=60,
    )
    said = answer.json()
    if answer.is_success:
        kind = message_factory.GetMessageClass(METHODS[f"/{pair.method}"].output_type)
        message = json_format.ParseDict(said, kind())
        return json_format.MessageToDict(message, preserving_proto_field_name=True)
    status = status_pb2.Status(code=grpc.StatusCode[said["code"].upper()].value[0])
    status.message = said["message"]
    for detail in said["details"]:
        url = f"type.googleapis.com/{detail['type']}"
        # Base64 of this protocol has no padding.
        status.details.add(type_url=url, value=base64.b64decode(detail["value"] + "=="))
    return json_format.MessageToDict(status, preserving_proto_field_name=True)


@pytest.mark.parametrize("call", [by_grpcurl, by_connect])
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_a_pair(
    web: Service, call: Callable[[Service, str, Pair], Mapping[str, Any]], pair: Pair
) -> None:
    """The answer of a new organization, or the error, is the one in the file."""
    token = web.token(web.organization())
    for name in pair.after:
        call(web, token, PAIRS[name])
    assert without_ids(call(web, token, pair)) == (pair.answer or pair.error)

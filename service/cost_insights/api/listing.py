"""The steps of every call that lists something page by page."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from google.protobuf import message

from cost_insights.api.reading import Checks
from cost_insights.api.work import Work
from cost_insights.identity import Caller

_Item = TypeVar("_Item")
_Response = TypeVar("_Response", bound=message.Message)


def list_call(
    work: Work,
    question_of: Callable[[Checks, Any], object],
    read_page: Callable[..., tuple[list[_Item], str]],
    response_of: Callable[[list[_Item], str], _Response],
) -> Callable[[Caller, Any], Awaitable[_Response]]:
    """A call that checks its request, reads a page, and answers with it.

    `question_of` makes the question of a request and adds its faults to the checks. `read_page`
    takes (organization, question, page_size, page_token) and returns the items of the page and the
    token of the next one, and `response_of` makes the response of these two.
    """

    async def call(caller: Caller, request: Any) -> _Response:
        checks = Checks()
        page_size = checks.page_size(request.page_size)
        question = question_of(checks, request)
        checks.finish()
        items, next_page_token = await work.read(
            caller.organization,
            lambda: read_page(
                caller.organization, question, page_size=page_size, page_token=request.page_token
            ),
        )
        return response_of(items, next_page_token)

    return call

"""Requests in JSON, read by orjson and checked by pydantic models.

The models have the rules of the native decoder, as far as its requests can say them.
They are where this decoder ends: it makes no ids, no rows and no stored JSON, so what
is measured against it is an understatement.
"""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Annotated, Self

import orjson
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StrictBool,
    StrictStr,
    model_validator,
)

METADATA_KEYS_MAX = 128
TOKENS_MAX = 2**53
CENTS_MAX = 9_000_000
PICOCENT = Decimal("1e-12")


_STORABLE = r"^[^\x00]*$"
_VISIBLE = r"^[^\x00]*[^\s\x00][^\x00]*$"


def _rounded(cents: Decimal) -> Decimal:
    return cents.quantize(PICOCENT, rounding=ROUND_HALF_EVEN)


Name = Annotated[str, Field(max_length=128, pattern=_VISIBLE)]
Id = Annotated[str, Field(max_length=256, pattern=_VISIBLE)]
OptionalId = Annotated[str, Field(max_length=256, pattern=_STORABLE)]
Tokens = Annotated[int, Field(ge=0, le=TOKENS_MAX)]
Key = Annotated[str, Field(min_length=1, max_length=128, pattern=_STORABLE)]
Text = Annotated[StrictStr, Field(min_length=1, max_length=2_000, pattern=_STORABLE)]
Value = StrictBool | int | FiniteFloat | Text
Amount = Annotated[
    Decimal,
    Field(ge=-CENTS_MAX, le=CENTS_MAX, allow_inf_nan=False),
    AfterValidator(_rounded),
]


class Cost(BaseModel):
    """What an event cost."""

    amount: Amount
    currency: Annotated[str, Field(pattern="^[uU][sS][dD]$")]

    @property
    def picocents(self) -> int:
        """The amount as it is stored."""
        return int(self.amount.scaleb(12))


class Llm(BaseModel):
    """The call of a model."""

    vendor: Name
    model: Name
    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    total_tokens: Tokens = 0
    cached_input_tokens: Tokens | None = None
    prompt: Annotated[str, Field(pattern=_STORABLE)] | None = None
    response: Annotated[str, Field(pattern=_STORABLE)] | None = None


class Metadata(BaseModel):
    """Metadata with its keys that have a meaning, and all others."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[Key, Value]

    cost: Cost | None = Field(None, alias="_cost")
    llm: Llm | None = Field(None, alias="_llm")

    @property
    def values(self) -> dict[str, object]:
        """The keys without a meaning."""
        return dict(self.__pydantic_extra__)

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        if len(self.__pydantic_extra__) > METADATA_KEYS_MAX:
            raise ValueError("too many keys")
        return self


class Event(BaseModel):
    """An event as a caller writes it."""

    name: Name
    external_customer_id: Id | None = None
    customer_id: Id | None = None
    timestamp: AwareDatetime | None = None
    external_id: OptionalId | None = None
    parent_id: OptionalId | None = None
    external_member_id: OptionalId | None = None
    cost: Cost | None = None
    llm: Llm | None = None
    product_id: Annotated[str, Field(max_length=128, pattern=_STORABLE)] | None = None
    metadata: Metadata = Field(default_factory=lambda: Metadata.model_validate({}))

    @model_validator(mode="after")
    def _check_customer(self) -> Self:
        if self.external_customer_id is None and self.customer_id is None:
            raise ValueError("no customer")
        return self


class Request(BaseModel):
    """A request as a caller writes it."""

    events: Annotated[list[Event], Field(max_length=10_000)]
    accept_valid: bool = False


def decode(body: bytes) -> Request:
    """Reads and checks the bytes of a request."""
    return Request.model_validate(orjson.loads(body))

"""Ids and signatures that are derived from what callers send.

They are stored: none may ever be computed in another way.
"""

__all__ = ["customer_id", "event_id", "member_signature"]

def event_id(organization_id: bytes, external_id: str) -> bytes:
    """The id of the event with that external id: a UUID of version 8 made of the
    first 16 bytes of SHA-256(organization id ‖ external id in UTF-8)."""

def customer_id(organization_id: bytes, external_id: str) -> bytes:
    """The id of the customer with that external id: a UUID of version 8 made of the first
    16 bytes of SHA-256(organization id ‖ U+0000 `customer` U+0000 ‖ external id in UTF-8)."""

def member_signature(key: str, value: str | float | bool) -> int:
    """The bits that a member of metadata sets in the signature of its event, as a signed number:
    four of 64, by four times six bits of the CRC-32 of its canonical JSON, `"key":value`, from the
    lowest on."""

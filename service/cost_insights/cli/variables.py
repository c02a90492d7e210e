"""Settings from flags and from COST_INSIGHTS_… variables."""

import difflib
import os
import re
from typing import Any, Final

import pydantic

from cost_insights.cli.console import note, usage
from cost_insights.settings import Settings

_VARIABLES: Final = "COST_INSIGHTS_"
OF_CLIENTS: Final = tuple(f"{_VARIABLES}{name}" for name in ("TOKEN", "TLS", "CA", "CERT", "KEY"))
"""The variables of commands that call a service."""

_OF_KUBERNETES: Final = re.compile(
    r"COST_INSIGHTS_(SERVICE_(HOST|PORT(_\w+)?)|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


def warn_of_unknown_variables() -> None:
    """Warns of COST_INSIGHTS_… variables that set nothing, such as misspelt ones.

    They are not an error: another version may know them, and Kubernetes sets some of its own if a
    service is called cost-insights.
    """
    known = [f"{_VARIABLES}{name.upper()}" for name in Settings.model_fields]
    known += OF_CLIENTS
    for name in sorted(os.environ):
        is_ours = name.upper().startswith(_VARIABLES) and not _OF_KUBERNETES.fullmatch(name)
        if is_ours and name.upper() not in known:
            similar = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f"; did you mean {similar[0]}?" if similar else ""
            note(f"cost-insights: {name} is not a setting and is ignored{hint}")


def settings_of(**flags: Any) -> Settings:
    """The settings: what was given by flag, then the environment, then the defaults."""
    given = {name: value for name, value in flags.items() if value is not None}
    if "database_url" in given:
        given["database_url_file"] = None
    try:
        return Settings(**given)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        shown = f"--{name.replace('_', '-')}" if name in given else f"COST_INSIGHTS_{name.upper()}"
        # A URL may hold a password.
        value = "" if name == "database_url" else f"{first['input']!r}: "
        raise usage(f"{shown}: {value}{first['msg']}") from None

"""The time zones that tests draw from: those of the IANA database.

The folder of a system holds other files too, such as `localtime`, which the service refuses.
"""

from importlib import resources

ZONES = sorted(
    # What a clock that nobody has set shows is no place.
    set(resources.files("tzdata").joinpath("zones").read_text("ascii").split()) - {"Factory"}
)

"""The SDKs of the compatible API, and servers that they call."""

from collections.abc import Iterator

import pytest

from tests.support.sdks import SDKS, Sdk, SdkClient, SdkProcess
from tests.support.service import Service


# Of a package, not of the session: so the databases come first in the order of tests, and servers
# are started once, not once for each SDK.
@pytest.fixture(scope="package", params=SDKS, ids=lambda sdk: sdk.name)
def sdk(request: pytest.FixtureRequest) -> Sdk:
    """Each of the SDKs: what uses this runs once with each."""
    sdk: Sdk = request.param
    return sdk


@pytest.fixture(scope="package")
def sdk_process(sdk: Sdk) -> Iterator[SdkProcess]:
    """A program that makes calls with the SDK."""
    process = SdkProcess(sdk)
    yield process
    process.close()


@pytest.fixture
def client(sdk_process: SdkProcess, web: Service) -> SdkClient:
    """The SDK as a new organization, with every scope."""
    return SdkClient(sdk_process, web.url, web.token(web.organization()))

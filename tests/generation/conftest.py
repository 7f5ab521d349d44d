import pytest
from tiny_policies import MAKERS

from fairlead.models.policy import Policy


@pytest.fixture(params=MAKERS)
def policy(request: pytest.FixtureRequest) -> Policy:
    return MAKERS[request.param]()


@pytest.fixture
def packing() -> Policy:
    return MAKERS["llama"]()

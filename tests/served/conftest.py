import pytest
from serving_world import Running


@pytest.fixture(scope="module")
def running():
    """A server that the tests of a module share."""
    with Running() as server:
        yield server

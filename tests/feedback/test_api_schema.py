"""Requests made up from the description of the API: none of them is a failure of the server."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from served_api import Served
from small_campaigns import pair

from fairlead.feedback.http.app import create_app

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)


@pytest.fixture
def served(world):
    found = Served(
        world,
        public_origin="http://testserver",  # What the made-up requests are sent to.
        person_requests_per_minute=10**6,
        requests_per_minute=10**6,
        logins_per_minute=10**6,
    )
    campaign = world.campaign([pair(i) for i in range(20)], overlap=3)
    owner = world.person("owner", "owner")
    world.answer(owner, world.claim(owner, campaign))
    world.claim(owner, campaign)
    found.owner = found.program(owner)
    return found


@pytest.fixture
def described(served):
    return schemathesis.openapi.from_asgi("/api/v1/openapi.json", served.app)


@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_every_made_up_request_has_a_clear_answer(served, described):
    token = {"Authorization": served.owner.headers["Authorization"]}

    def answered(case):
        answer = case.call(headers=token)
        case.validate_response(answer, checks=CHECKS)
        if answer.status_code >= 400:
            assert answer.json()["what"]

    operations = [found.ok() for found in described.get_all_operations()]
    assert len(operations) > 50
    for operation in operations:
        few = settings(
            max_examples=6, database=None, suppress_health_check=list(HealthCheck), deadline=None
        )
        few(given(case=operation.as_strategy())(answered))()


def test_the_application_is_described(store):
    assert create_app(store).openapi()["info"]["title"] == "Fairlead feedback"

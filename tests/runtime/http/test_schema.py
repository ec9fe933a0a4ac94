"""The interface does what /openapi.json says, held against requests made from that."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

ROUTES = [
    *("GET /healthz", "GET /readyz", "GET /metrics", "GET /v1/model"),
    *("GET /v1/examples/{number}", "POST /v1/predict"),
]


@pytest.fixture(scope="module")
def operations(url):
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    found = [result.ok() for result in schema.get_all_operations()]
    return {f"{each.method.upper()} {each.path}": each for each in found}


@pytest.mark.parametrize(
    ("route", "mode"),
    [
        *((route, GenerationMode.POSITIVE) for route in ROUTES),
        *((route, GenerationMode.NEGATIVE) for route in ROUTES[-2:]),
    ],
)
def test_every_answer_is_as_documented(operations, route, mode):
    assert set(operations) == set(ROUTES)

    @given(case=operations[route].as_strategy(generation_mode=mode))
    @settings(
        max_examples=40 if route.startswith("POST") else 6,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    def ask(case):
        # Text in base64 is seldom an image: that it is refused then is no mistake.
        case.call_and_validate(excluded_checks=[positive_data_acceptance])

    ask()

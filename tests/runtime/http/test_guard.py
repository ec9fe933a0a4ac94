"""Who may ask: names, origins, keys, and what browsers are told."""

import httpx
import pytest
from tests.runtime.http.builders import png, predictor, serving

KEY = "correct horse battery"
NAMES = ("localhost", "127.0.0.1", "::1")


@pytest.fixture(scope="module")
def guarded(bundle):
    """A server on loopback that wants a key."""
    with serving(predictor(bundle), key=KEY, hosts=NAMES) as url:
        yield url


def get(url, path="/healthz", **headers):
    return httpx.get(url + path, headers={name.replace("_", "-"): v for name, v in headers.items()})


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:8000"])
def test_its_own_names_are_answered(guarded, host):
    assert get(guarded, Host=host).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.2", "", "["]
)
def test_other_names_are_refused_even_for_the_page(guarded, host):
    for path in ("/", "/healthz", "/v1/model"):
        answer = get(guarded, path, Host=host)
        assert answer.status_code == 421
        assert answer.json()["error"]["kind"] == "host"


def test_any_name_will_do_where_none_are_given(url):
    assert get(url, Host="models.example").status_code == 200


def test_pages_of_other_sites_may_not_ask(guarded):
    def ask(**headers):
        headers = {"Authorization": f"Bearer {KEY}", **headers}
        return httpx.post(f"{guarded}/v1/predict", files={"a": png()}, headers=headers)

    assert ask().status_code == 200
    assert ask(Origin=guarded).status_code == 200
    for origin in ("https://evil.example", "null", "http://localhost:" + "1", "http://["):
        answer = ask(Origin=origin)
        assert answer.status_code == 403
        assert answer.json()["error"]["kind"] == "origin"
    assert "access-control-allow-origin" not in ask(Origin="https://evil.example").headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer  {KEY}"},
        {"X-API-Key": KEY},
    ],
)
def test_the_key_opens(guarded, headers):
    assert get(guarded, "/v1/model", **headers).status_code == 200
    assert get(guarded, "/metrics", **headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": f"Bearer {KEY}x"},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": KEY},
        {"X-API-Key": ""},
        {"X-API-Key": KEY[:-1]},
        {"X-API-Key": "ü" * 20},
    ],
)
def test_nothing_else_does(guarded, headers):
    headers = {name: value.encode() for name, value in headers.items()}
    for path in ("/v1/model", "/metrics", "/v1/examples/0", "/v1/predict", "/nowhere"):
        answer = httpx.get(guarded + path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert KEY not in answer.text


def test_a_key_in_the_address_is_none(guarded):
    assert get(guarded, f"/v1/model?key={KEY}&api_key={KEY}").status_code == 401


def test_the_page_and_health_need_no_key(guarded):
    for path in ("/", "/healthz", "/readyz", "/openapi.json"):
        assert get(guarded, path).status_code == 200


def test_the_document_says_that_a_key_is_needed(guarded, url):
    assert get(guarded, "/openapi.json").json()["security"] == [{"key": []}]
    assert "security" not in get(url, "/openapi.json").json()


def test_browsers_are_bound(guarded):
    page = get(guarded, "/")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert page.headers["x-frame-options"] == "DENY"
    for path in ("/", "/healthz", "/v1/model", "/nowhere"):
        headers = get(guarded, path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"

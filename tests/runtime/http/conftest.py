"""A bundle of three colours, and a server for it."""

import httpx
import pytest
from tests.runtime.http.builders import make_bundle, predictor, serving

# What Pillow says of odd metadata is kept from people by the server, but pytest undoes that.
QUIET = "ignore::UserWarning:PIL"


def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.filterwarnings(QUIET))


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundles") / "colours.convsmith")


@pytest.fixture(scope="module")
def url(bundle):
    """The address of a server with the usual limits."""
    with serving(predictor(bundle), threads=2) as address:
        yield address


@pytest.fixture
def client(url):
    with httpx.Client(base_url=url, timeout=20) as client:
        yield client

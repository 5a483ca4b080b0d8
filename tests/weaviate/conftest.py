# SPDX-License-Identifier: ISC
"""Fixtures of the stand-in's own tests: a server of each version that matters, or the real one."""

import pytest

from harness.shop import Shop, make_template
from harness.weaviate import Weaviate, real_url

# Deletes of missing ids are told (404) before 1.26; REST searches are there from 1.40.
VERSIONS = ["1.25.9", "1.36.5", "1.40.1"]


@pytest.fixture(scope="module", params=["real"] if real_url() else VERSIONS)
def each_server(request):
    server = Weaviate(None if request.param == "real" else request.param)
    yield server
    server.stop()


@pytest.fixture
def each(each_server):
    """A server of each version, without classes of ours."""
    yield each_server
    each_server.reset()


@pytest.fixture(scope="session")
def shop_template(cluster):
    return make_template(cluster)


@pytest.fixture
def shop(cluster, weaviate, start, shop_template):
    """A shop whose pglanes the test starts."""
    shop = Shop(cluster, weaviate, start, shop_template)
    yield shop
    for proxy in shop.proxies:
        if proxy.process.poll() is None:
            proxy.stop_only()
    shop.drop()

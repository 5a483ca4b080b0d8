# SPDX-License-Identifier: ISC
"""Authentication as one table, both sides, and TLS with every sslmode."""

import hashlib
import ssl

import psycopg2
import pytest

from harness import wire
from harness.cluster import USERS
from harness.proxy import Proxy
from harness.traffic import scaled

PASSWORD = "pg lane's sécret"


def md5_secret(user, password):
    return "md5" + hashlib.md5((password + user).encode()).hexdigest()


@pytest.fixture(scope="module")
def secrets(cluster):
    """A secret of each form for a user of the same name, who has that password in Postgres too."""
    for user in ("s_plain", "s_md5", "s_scram"):
        cluster.run(f"CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD.replace(chr(39), chr(39) * 2)}'")
        with open(cluster.data / "pg_hba.conf", "a", encoding="ascii") as hba:
            hba.write(f"host all {user} 127.0.0.1/32 trust\n")
    cluster.run("SELECT pg_reload_conf()")
    yield {"s_plain": PASSWORD, "s_md5": md5_secret("s_md5", PASSWORD), "s_scram": cluster.secret("s_scram")}
    for user in ("s_plain", "s_md5", "s_scram"):
        cluster.run(f"DROP ROLE {user}")


# auth_type of pglane, the secret's form, what the client gives -> outcome. "ok", or the SQLSTATE.
TABLE = [
    ("trust", "s_plain", None, "ok"),
    ("trust", "s_scram", "wrong", "ok"),
    ("plain", "s_plain", PASSWORD, "ok"),
    ("plain", "s_plain", "wrong", "28P01"),
    ("plain", "s_md5", PASSWORD, "ok"),
    ("plain", "s_scram", PASSWORD, "ok"),
    ("plain", "s_scram", "wrong", "28P01"),
    ("md5", "s_plain", PASSWORD, "ok"),
    ("md5", "s_plain", "wrong", "28P01"),
    ("md5", "s_md5", PASSWORD, "ok"),
    ("md5", "s_md5", "wrong", "28P01"),
    ("md5", "s_scram", PASSWORD, "ok"),
    ("md5", "s_scram", "wrong", "28P01"),
    ("scram-sha-256", "s_plain", PASSWORD, "ok"),
    ("scram-sha-256", "s_plain", "wrong", "28P01"),
    ("scram-sha-256", "s_plain", "", "28P01"),
    ("scram-sha-256", "s_scram", PASSWORD, "ok"),
    ("scram-sha-256", "s_scram", "wrong", "28P01"),
    ("scram-sha-256", "s_md5", PASSWORD, "28P01"),
    ("scram-sha-256", "nobody", PASSWORD, "28P01"),
    ("md5", "nobody", PASSWORD, "28P01"),
    ("plain", "nobody", PASSWORD, "28P01"),
    ("trust", "nobody", None, "28P01"),
]


@pytest.fixture(scope="module")
def by_method(cluster, program, secrets):
    """One proxy for each auth_type."""
    proxies = {}

    def get(method):
        if method not in proxies:
            proxies[method] = Proxy(cluster, program, auth_type=method, secrets=secrets)
        return proxies[method]

    yield get
    for proxy in proxies.values():
        proxy.stop()


@pytest.mark.parametrize("method, user, password, outcome", TABLE)
def test_table(by_method, method, user, password, outcome):
    proxy = by_method(method)
    if outcome == "ok":
        with proxy.client(user=user, password=password) as client:
            assert client.query("SELECT current_user").value == user
    else:
        with pytest.raises(wire.ServerError) as refused:
            proxy.client(user=user, password=password)
        assert refused.value.sqlstate == outcome and refused.value.severity == "FATAL"


@pytest.mark.parametrize("method", ["plain", "md5", "scram-sha-256"])
def test_unknown_user_looks_like_a_wrong_password(by_method, method):
    """The same requests in the same order, the same error."""
    proxy = by_method(method)

    def traces(user):
        with proxy.raw() as client:
            client.send(wire.startup_packet({"user": user, "database": "app"}))
            kind, body = client.receive()
            trace = [(kind, body[:4])]
            if body[:4] == b"\0\0\0\x0a":
                scram = wire.Scram("wrong")
                first = scram.first()
                client.send(wire.message("p", wire.text("SCRAM-SHA-256") + len(first).to_bytes(4, "big") + first))
                kind, body = client.receive()
                fields = dict(part.split(b"=", 1) for part in body[4:].split(b","))
                trace.append((kind, body[:4], sorted(fields), fields[b"i"], len(fields[b"s"])))
                client.send(wire.message("p", scram.final(body[4:])))
            else:
                client.send(wire.message("p", wire.text("wrong")))
            error = client.fatal()
            fields = {key: value.replace(user, "USER") for key, value in error.fields.items()}
            return trace, fields

    known = "s_plain"
    assert traces(known) == traces("nobody at all")


def test_mock_salt_of_an_unknown_user_is_always_the_same(by_method):
    """A salt that changed would tell that there is no such user."""
    proxy = by_method("scram-sha-256")

    def salt(user):
        with proxy.raw() as client:
            client.send(wire.startup_packet({"user": user, "database": "app"}))
            client.receive()
            first = wire.Scram("x").first()
            client.send(wire.message("p", wire.text("SCRAM-SHA-256") + len(first).to_bytes(4, "big") + first))
            return dict(part.split(b"=", 1) for part in client.receive()[1][4:].split(b","))[b"s"]

    assert salt("ghost") == salt("ghost") != salt("phantom")
    assert salt("s_scram") == salt("s_scram")


@pytest.mark.parametrize("user", ["u_scram", "u_md5", "u_plain"])
def test_pglane_logs_in_to_postgres_with_each_method(start, user):
    proxy = start(auth_type="scram-sha-256")
    password = USERS[user][0]
    assert proxy.run("SELECT current_user", user=user, password=password) == [(user,)]


def test_scram_keys_of_the_client_are_passed_through(start, cluster):
    """pglane knows only the SCRAM secret, and Postgres asks for SCRAM: the client's own proof opens the door."""
    proxy = start(auth_type="scram-sha-256", secrets={"u_scram": cluster.secret("u_scram")})
    password = USERS["u_scram"][0]
    for _ in range(3):
        assert proxy.run("SELECT current_user", user="u_scram", password=password) == [("u_scram",)]


def test_md5_secret_logs_in_to_an_md5_server(start, cluster):
    proxy = start(auth_type="md5", secrets={"u_md5": cluster.secret("u_md5")})
    assert proxy.run("SELECT current_user", user="u_md5", password=USERS["u_md5"][0]) == [("u_md5",)]


def test_forced_server_user(start):
    proxy = start(databases={"forced": "{server} dbname=app user=u_scram password='" + USERS["u_scram"][0] + "'"})
    assert proxy.run("SELECT current_user", dbname="forced") == [("u_scram",)]


def test_wrong_password_for_the_server_is_reported_and_contained(start):
    """At login or with the first statement: whoever needs that server is told, and nobody else."""
    proxy = start(secrets={"app": "x", "u_scram": "not the password"}, auth_type="trust")
    with pytest.raises(wire.ServerError) as refused:
        raise proxy.client(user="u_scram").query("SELECT 1").errors[0]
    assert refused.value.sqlstate in ("08006", "28P01")
    assert proxy.run("SELECT 1") == [(1,)]


@pytest.mark.parametrize("parameters", [
    {"options": "-c work_mem=banana"}, {"options": "-c work_mem=1XB"}, {"options": "-c work_mem=1"}, {"DateStyle": "banana"}, {"TimeZone": "Nowhere/Else"},
], ids=lambda parameters: " ".join(parameters.values()))
def test_bad_value_of_a_startup_parameter_is_refused_in_postgresqls_words(start, cluster, parameters):
    proxy = start()
    told = []
    for host, port in ((proxy.host, proxy.port), (str(cluster.directory), cluster.port)):
        with wire.RawClient(host, port) as client:
            client.send(wire.startup_packet({"user": "app", "database": "app", **parameters}))
            fields = client.fatal().fields
        told.append({field: fields.get(field) for field in "SCMDH"})
    assert told[0] == told[1] and told[0]["C"] == "22023"
    assert proxy.run("SELECT 1") == [(1,)]


def test_startup_parameter_that_postgresql_does_not_know(start):
    proxy = start()
    with pytest.raises(wire.ServerError) as refused:
        proxy.client(no_such_parameter="1")
    fields = refused.value.fields
    assert (fields["S"], fields["C"], fields["M"]) == ("FATAL", "42704", 'unrecognized configuration parameter "no_such_parameter"')
    assert fields["H"] == "See ignore_startup_parameters."


def test_second_startup_message_during_authentication(by_method):
    """Exactly one StartupMessage: a second one as a trusted or other user closes the connection."""
    proxy = by_method("scram-sha-256")
    with proxy.raw() as client:
        client.send(wire.startup_packet({"user": "s_plain", "database": "app"}))
        assert client.receive()[0] == "R"
        client.send(wire.startup_packet({"user": "s_scram", "database": "app"}))
        assert client.fatal().sqlstate == "08P01"


def test_query_before_authentication_is_done(by_method):
    proxy = by_method("scram-sha-256")
    with proxy.raw() as client:
        client.send(wire.startup_packet({"user": "s_plain", "database": "app"}), wire.query("SELECT 1"))
        assert client.receive()[0] == "R"
        assert client.fatal().sqlstate == "08P01"


def test_login_timeout(start):
    proxy = start(client_login_timeout="300ms", tcp_defer_accept=0)
    with proxy.raw() as client:
        client.send(wire.startup_packet({"user": "app", "database": "app"})[:10])
        assert client.fatal().sqlstate == "08P01"
    with proxy.raw() as client:
        assert client.fatal().sqlstate == "08P01"


# TLS

SERVER_TLS = {"client_tls_cert_file": "server.crt", "client_tls_key_file": "server.key"}


def client_tls(cluster, mode, **more):
    settings = {"client_tls_sslmode": mode, **SERVER_TLS, **more}
    return {key: cluster.certificates.path(value) if key.endswith("_file") else value for key, value in settings.items()}


@pytest.mark.parametrize("server, client, outcome", [
    ("disable", "disable", "plain"), ("disable", "prefer", "plain"), ("disable", "require", "refused"),
    ("allow", "disable", "plain"), ("allow", "prefer", "tls"), ("allow", "verify-full", "tls"),
    ("prefer", "disable", "plain"), ("prefer", "require", "tls"),
    ("require", "disable", "refused"), ("require", "require", "tls"), ("require", "verify-ca", "tls"), ("require", "verify-full", "tls"),
])
def test_client_tls_modes(start, cluster, server, client, outcome):
    proxy = start(**client_tls(cluster, server)) if server != "disable" else start()
    root = cluster.certificates.for_root("ca.crt") if client.startswith("verify") else ""
    connect = {"sslmode": client, "host": "localhost", "hostaddr": "127.0.0.1", **({"sslrootcert": root} if root else {})}
    if outcome == "refused":
        with pytest.raises(psycopg2.OperationalError):
            proxy.connect(**connect)
    else:
        connection = proxy.connect(**connect)
        assert connection.info.ssl_in_use == (outcome == "tls")
        with connection.cursor() as cursor:
            cursor.execute("SELECT repeat('x', 1000000)")
            assert len(cursor.fetchone()[0]) == 1000000
        connection.close()


@pytest.mark.parametrize("certificate, outcome", [("client", "ok"), (None, "refused")])
def test_client_certificate_is_required_by_verify_ca(start, cluster, certificate, outcome):
    proxy = start(**client_tls(cluster, "verify-ca", client_tls_ca_file="ca.crt"))
    keys = {"sslcert": cluster.certificates.for_root("client.crt"), "sslkey": cluster.certificates.for_root("client.key")} if certificate else {
        "sslcert": "/nonexistent", "sslkey": "/nonexistent"}
    if outcome == "ok":
        assert proxy.run("SELECT 1", sslmode="require", **keys) == [(1,)]
    else:
        with pytest.raises(psycopg2.OperationalError):
            proxy.run("SELECT 1", sslmode="require", **keys)


def test_direct_tls_with_alpn(start, cluster):
    """TLS from the first byte on, as libpq 17 does with sslnegotiation=direct; without ALPN it is refused."""
    proxy = start(**client_tls(cluster, "require"))
    context = ssl.create_default_context(cafile=cluster.certificates.for_root("ca.crt"))
    context.set_alpn_protocols(["postgresql"])
    with proxy.raw() as client:
        client.socket = context.wrap_socket(client.socket, server_hostname="localhost")
        assert client.socket.selected_alpn_protocol() == "postgresql"
        assert client.login().query("SELECT 1").value == "1"
    other = ssl.create_default_context(cafile=cluster.certificates.for_root("ca.crt"))
    other.set_alpn_protocols(["http/1.1"])
    with proxy.raw() as client, pytest.raises((ssl.SSLError, OSError, wire.Closed)):
        client.socket = other.wrap_socket(client.socket, server_hostname="localhost")
        client.login()


def test_no_tls_on_a_unix_socket(start, cluster):
    """As PostgreSQL and PgBouncer: nobody is between the two ends, so TLS is declined there, and not demanded either."""
    proxy = start(**client_tls(cluster, "require"))
    with wire.RawClient(str(proxy.directory), proxy.port) as client:
        client.send(bytes.fromhex("0000000804d2162f"))
        assert client.receive_exactly(1) == b"N"
        assert client.login().query("SELECT 1").value == "1"
    with wire.RawClient(str(proxy.directory), proxy.port) as client:
        client.send(bytes.fromhex("160301020001"))
        assert client.fatal().sqlstate == "08P01"


def test_bytes_before_the_tls_handshake_are_refused(start, cluster):
    """What a man in the middle stuffs behind SSLRequest must never be taken as if it came through TLS."""
    proxy = start(**client_tls(cluster, "prefer"))
    with proxy.raw() as client:
        client.send(bytes.fromhex("0000000804d2162f") + wire.startup_packet({"user": "app", "database": "app"}))
        try:
            answer = client.receive_exactly(1)
        except wire.Closed:
            return
        assert answer in b"SE"
        with pytest.raises((wire.Closed, ssl.SSLError, OSError, AssertionError)):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            client.pending.clear()
            client.socket = context.wrap_socket(client.socket)
            client.receive()


def test_scram_plus_channel_binding(start, cluster):
    proxy = start(auth_type="scram-sha-256", **client_tls(cluster, "require"))
    assert proxy.run("SELECT 1", sslmode="require", channel_binding="require", password="app-secret") == [(1,)]
    with pytest.raises(psycopg2.OperationalError):
        proxy.run("SELECT 1", sslmode="require", channel_binding="require", password="wrong")


@pytest.mark.parametrize("mode, ca, host, outcome", [
    ("disable", None, "127.0.0.1", "plain"), ("prefer", None, "127.0.0.1", "tls"), ("require", None, "127.0.0.1", "tls"),
    ("verify-ca", "ca.crt", "127.0.0.1", "tls"), ("verify-full", "ca.crt", "127.0.0.1", "tls"), ("verify-full", "ca.crt", "localhost", "tls"),
    ("verify-ca", "stranger_ca.crt", "127.0.0.1", "refused"), ("verify-full", "stranger_ca.crt", "127.0.0.1", "refused"),
])
def test_server_tls_modes(start, cluster, mode, ca, host, outcome):
    settings = {"server_tls_sslmode": mode, **({"server_tls_ca_file": cluster.certificates.path(ca)} if ca else {})}
    proxy = start(databases={"verified": f"host={host} port={cluster.port} dbname=other"}, **settings)
    if outcome == "refused":
        with pytest.raises(psycopg2.Error):
            proxy.run("SELECT 1", dbname="verified")
        assert not cluster.backends("datname = 'other'")
    else:
        assert proxy.run("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", dbname="verified") == [(outcome == "tls",)]


def test_large_results_through_tls_on_both_sides(start, cluster):
    proxy = start(server_tls_sslmode="require", **client_tls(cluster, "require"))
    length = scaled(16 << 20, 1 << 20)
    rows = proxy.run("SELECT md5(value), length(value), value FROM repeat('0123456789abcdef', %s) value", (length // 16,), sslmode="require")
    digest, n, value = rows[0]
    assert n == length // 16 * 16 and hashlib.md5(value.encode()).hexdigest() == digest


def test_client_that_speaks_garbage_inside_tls(start, cluster):
    proxy = start(**client_tls(cluster, "require"))
    with proxy.raw() as client:
        assert client.start_tls()
        client.send(b"\xff" * 64)
        assert client.fatal().sqlstate == "08P01"
    with proxy.raw() as client:
        client.send(bytes.fromhex("0000000804d2162f"))
        assert client.receive_exactly(1) == b"S"
        client.send(b"this is no ClientHello")
        with pytest.raises(wire.Closed):
            while client.receive_exactly(1):
                pass
    assert proxy.run("SELECT 1", sslmode="require") == [(1,)]

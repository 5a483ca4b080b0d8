# SPDX-License-Identifier: ISC
"""Keys and certificates for a run, made by openssl(1): an authority, one nobody knows, a server's and a client's."""

from . import system


class Certificates:
    """Paths: ca, stranger_ca, server (localhost, 127.0.0.1), elsewhere (another host's name), client (CN app), each as .crt and .key."""

    def __init__(self, directory):
        self.directory = directory
        self._authority("ca")
        self._authority("stranger_ca")
        self._signed("server", "localhost", "DNS:localhost,IP:127.0.0.1")
        self._signed("elsewhere", "elsewhere.invalid", "DNS:elsewhere.invalid")
        self._signed("client", "app", "DNS:app")
        for path in directory.iterdir():
            system.own(path, system.unprivileged_user(), 0o600)

    def path(self, name):
        return str(self.directory / name)

    def for_root(self, name):
        """A copy that the test process may use as a client: libpq refuses keys that others own."""
        copy = self.directory / f"mine_{name}"
        copy.write_bytes((self.directory / name).read_bytes())
        copy.chmod(0o600)
        return str(copy)

    def _authority(self, name):
        system.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                   "-subj", f"/CN=pglane test {name}", "-keyout", self.path(f"{name}.key"), "-out", self.path(f"{name}.crt"))

    def _signed(self, name, common_name, alternatives):
        request, extensions = self.path(f"{name}.csr"), self.directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternatives}\n")
        system.run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                   "-subj", f"/CN={common_name}", "-keyout", self.path(f"{name}.key"), "-out", request)
        system.run("openssl", "x509", "-req", "-in", request, "-CA", self.path("ca.crt"), "-CAkey", self.path("ca.key"),
                   "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", self.path(f"{name}.crt"))

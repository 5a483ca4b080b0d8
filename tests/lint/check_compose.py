#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""packaging/compose.yaml holds together: Weaviate's variables are ones that it reads and shut it, what services name is there, and pglane takes the configuration.

Docker is not needed. Takes the program pglane, or looks for it in build/.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

import tree

NAME = "packaging/compose.yaml"

# What the server reads of the environment; a misspelt name would be ignored there, silently.
WEAVIATE_READS = {
    "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "AUTHENTICATION_APIKEY_ENABLED", "AUTHENTICATION_APIKEY_ALLOWED_KEYS", "AUTHENTICATION_APIKEY_USERS",
    "AUTHORIZATION_ADMINLIST_ENABLED", "AUTHORIZATION_ADMINLIST_USERS", "AUTOSCHEMA_ENABLED", "DEFAULT_VECTORIZER_MODULE", "OPENAI_APIKEY",
    "PERSISTENCE_DATA_PATH", "CLUSTER_HOSTNAME", "RAFT_BOOTSTRAP_EXPECT", "GOMEMLIMIT", "DISABLE_TELEMETRY", "GO_PROFILING_DISABLE",
}
# Without each of these it would let everybody in, forget everything, or make properties of typing errors.
WEAVIATE_NEEDS = {
    "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "false", "AUTHENTICATION_APIKEY_ENABLED": "true", "AUTHORIZATION_ADMINLIST_ENABLED": "true",
    "AUTOSCHEMA_ENABLED": "false", "PERSISTENCE_DATA_PATH": "/var/lib/weaviate",
}
VARIABLE = re.compile(r"\$\{(\w+)(?::[-?][^}]*)?\}")


def weaviate_faults(environment):
    """Faults of the service weaviate's environment."""
    yield from (f"weaviate does not read {name}" for name in environment if name not in WEAVIATE_READS)
    yield from (f"weaviate needs {name}: \"{value}\"" for name, value in WEAVIATE_NEEDS.items() if environment.get(name) != value)
    if environment.get("AUTHENTICATION_APIKEY_USERS") != environment.get("AUTHORIZATION_ADMINLIST_USERS"):
        yield "weaviate: the user of the API key may do nothing"


def reference_faults(compose):
    """Names that nothing has, and ports that others than this machine reach."""
    for name, service in compose["services"].items():
        for other in service.get("depends_on", {}):
            if other not in compose["services"]:
                yield f"{name} depends on {other}, which is no service"
        for kind, given in (("configs", [entry["source"] for entry in service.get("configs", [])]), ("secrets", service.get("secrets", [])),
                            ("volumes", [entry.partition(":")[0] for entry in service.get("volumes", [])])):
            for missing in set(given) - set(compose[kind]):
                yield f"{name}: {missing} is not among {kind}"
        for port in service.get("ports", []):
            if not port.startswith("127.0.0.1:"):
                yield f"{name}: port {port} is open to everybody"


def configuration_faults(compose, program):
    """What pglane --check says about the configuration, with its files in a directory of our own."""
    with tempfile.TemporaryDirectory() as folder:
        key = pathlib.Path(folder) / "key"
        key.write_text("secret\n", encoding="ascii")
        for entry in compose["services"]["pglane"]["configs"]:
            text = VARIABLE.sub("secret", compose["configs"][entry["source"]]["content"])
            text = text.replace("/etc/pglane/", f"{folder}/").replace("/run/secrets/weaviate_api_key", str(key)).replace("/usr/share/pglane", str(tree.ROOT))
            (pathlib.Path(folder) / pathlib.Path(entry["target"]).name).write_text(text, encoding="utf-8")
        done = subprocess.run([program, "--check", f"{folder}/pglane.ini"], capture_output=True, text=True)
        if done.returncode:
            yield f"pglane --check: {(done.stdout + done.stderr).strip()}"


def main():
    try:
        import yaml
    except ImportError:
        return tree.skip("no python3-yaml")
    program = sys.argv[1] if len(sys.argv) > 1 else tree.ROOT / "build/pglane"
    if not pathlib.Path(program).is_file():
        return tree.skip(f"no {program}: build it, or name it")
    compose = yaml.safe_load(tree.text(NAME))
    faults = [*weaviate_faults(compose["services"]["weaviate"]["environment"]), *reference_faults(compose), *configuration_faults(compose, program)]
    return tree.report([f"{NAME}:1: {fault}" for fault in faults])


if __name__ == "__main__":
    sys.exit(main())

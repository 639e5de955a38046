"""A real Keystone of a test's own: fresh database, fresh keys, one loopback port, gone with its folder.

SQLite serves: what is tested is how Alcor and outside clients speak with Keystone, not Keystone's storage.
"""

import grp
import os
import pwd
import socket
import subprocess
from pathlib import Path
from typing import Any

import httpx

from alcor.lab.command import LabError, tail, wait_until
from alcor.lab.ledger import Ledger
from tests.compat.environment import program

REGION = "RegionOne"
ADMIN_PASSWORD = "admin-secret"
SERVICE_PASSWORD = "service-secret"
MEMBER_PASSWORD = "member-secret"

# Four rounds of bcrypt are the fewest it accepts: the suites make hundreds of users.
CONFIGURATION = """\
[DEFAULT]
use_stderr = true
[cache]
enabled = true
backend = dogpile.cache.memory
[credential]
key_repository = {folder}/credential-keys
[database]
connection = sqlite:///{folder}/keystone.sqlite
[fernet_tokens]
key_repository = {folder}/fernet-keys
[identity]
password_hash_rounds = 4
[token]
provider = fernet
"""

# The socket is bound by us and inherited, so that no other program can take the port in between.
# Keystone reads the command line for itself while it is imported: ours must be gone by then.
# One thread: two that write to SQLite at a time end in "database is locked". Many connections: the SDK's tests keep
# four of each test open, and the default of 100 makes everybody wait until one of them times out.
SERVE = """\
import socket, sys, waitress
listening = socket.socket(fileno=int(sys.argv.pop()))
from keystone.wsgi.api import application
waitress.serve(application, sockets=[listening], threads=1, connection_limit=2000)
"""


class Keystone:
    """One Keystone in `folder`; `start` makes and serves it, the ledger ends it."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self.folder = folder
        self.log = folder / "keystone.log"
        self._ledger = ledger
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v3"
        self._http = httpx.Client(base_url=self.url, timeout=30)

    def start(self) -> None:
        """Make the database, the keys and the administrator, then serve. Raises: NotInstalled, LabError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "keystone.conf").write_text(CONFIGURATION.format(folder=self.folder))
        user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
        owner = ("--keystone-user", user, "--keystone-group", group)
        self._manage("db_sync")
        self._manage("fernet_setup", *owner)
        self._manage("credential_setup", *owner)
        urls = [
            word for kind in ("admin", "internal", "public") for word in (f"--bootstrap-{kind}-url", self.url)
        ]
        region = ("--bootstrap-region-id", REGION)
        self._manage("bootstrap", "--bootstrap-password", ADMIN_PASSWORD, *region, *urls)
        self._serve()
        wait_until("Keystone", self._answers, deadline_s=60)
        self._authenticate()

    def _manage(self, *words: str) -> None:
        command: list[str | Path] = [
            program("keystone", "keystone-manage"),
            "--config-file",
            self.folder / "keystone.conf",
            *words,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=self._environment())
        if done.returncode != 0:
            raise LabError(f"keystone-manage {words[0]}: {done.stderr or done.stdout}")

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        return kept | {"OS_KEYSTONE_CONFIG_DIR": str(self.folder)}

    def _serve(self) -> None:
        descriptor = self._socket.fileno()
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                [program("keystone", "python"), "-c", SERVE, str(descriptor)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                pass_fds=[descriptor],
                start_new_session=True,
            )
        self._ledger.add_process(process)
        self._process = process
        # Ours would keep connections waiting for ever after Keystone ended.
        self._socket.close()

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise LabError(f"Keystone did not start:\n{tail(self.log)}")
        try:
            return self._http.get("").is_success
        except httpx.TransportError:
            return False

    def _authenticate(self) -> None:
        self._http.headers["X-Auth-Token"] = self.token("admin", ADMIN_PASSWORD, "admin")

    def token(self, user: str, password: str, project: str) -> str:
        """A token for a user in a project, both of the domain `default`. Raises: LabError."""
        domain = {"id": "default"}
        person = {"name": user, "password": password, "domain": domain}
        identity = {"methods": ["password"], "password": {"user": person}}
        scope = {"project": {"name": project, "domain": domain}}
        answer = self._http.post("/auth/tokens", json={"auth": {"identity": identity, "scope": scope}})
        if answer.is_error:
            raise LabError(f"Keystone refused {user} in {project}: {answer.status_code} {answer.text}")
        return answer.headers["X-Subject-Token"]

    def whose(self, token: str, asking: str) -> str:
        """The name of a token's user, asked for with another token. Raises: LabError."""
        answer = self._http.get("/auth/tokens", headers={"X-Auth-Token": asking, "X-Subject-Token": token})
        if answer.is_error:
            raise LabError(f"Keystone did not validate a token: {answer.status_code} {answer.text}")
        return str(answer.json()["token"]["user"]["name"])

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One call as administrator, e.g. `call("POST", "/projects", {...})`. Raises: LabError."""
        answer = self._http.request(method, path, json=body)
        if answer.is_error:
            raise LabError(f"Keystone, {method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    def create_project(self, name: str) -> str:
        """Make a project of the domain `default`; returns its id."""
        project = {"name": name, "domain_id": "default"}
        return str(self.call("POST", "/projects", {"project": project})["project"]["id"])

    def create_user(self, name: str, password: str) -> str:
        """Make a user of the domain `default`; returns its id."""
        user = {"name": name, "password": password, "domain_id": "default"}
        return str(self.call("POST", "/users", {"user": user})["user"]["id"])

    def grant(self, user_id: str, project_id: str, *roles: str) -> None:
        """Give a user roles in a project."""
        known = {role["name"]: role["id"] for role in self.call("GET", "/roles")["roles"]}
        for role in roles:
            self.call("PUT", f"/projects/{project_id}/users/{user_id}/roles/{known[role]}")

    def add_service(self, type: str, name: str, url: str) -> None:
        """List a service with its three endpoints in the catalogue."""
        service = self.call("POST", "/services", {"service": {"type": type, "name": name}})["service"]
        for interface in ("public", "internal", "admin"):
            endpoint = {"service_id": service["id"], "interface": interface, "url": url, "region_id": REGION}
            self.call("POST", "/endpoints", {"endpoint": endpoint})

    def close(self) -> None:
        """Let go of its connections; the ledger ends the process."""
        self._http.close()
        self._socket.close()

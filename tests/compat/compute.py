"""The one answer of a compute service that Tempest's port binding tests ask for: which hypervisors there are."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def compute_service(hosts: Sequence[str]) -> Iterator[str]:
    """A compute service on loopback whose hypervisors are the named hosts; its URL for the catalogue."""
    hypervisors = [
        {"id": number, "hypervisor_hostname": host, "state": "up", "status": "enabled"}
        for number, host in enumerate(hosts, 1)
    ]
    answer = json.dumps({"hypervisors": hypervisors}).encode()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == "/v2.1/os-hypervisors"
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer) if known else 0))
            self.end_headers()
            self.wfile.write(answer if known else b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v2.1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

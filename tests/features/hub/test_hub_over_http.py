"""A set fetched as from the hub: a server on this machine answers what the hub's library asks."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlparse

import pytest

from forked import Forked
from lazily import Lazily
from spikeduel.cli import main
from synthetic_files import write_table

datasets, huggingface_hub = Lazily("datasets"), Lazily("huggingface_hub")

REVISION = "0123456789abcdef" * 2 + "01234567"


class Hub(BaseHTTPRequestHandler):
    """Answers for the data set owner/name, whose files lie in `root`."""

    root: Path

    def log_message(self, *_):
        """Nothing is printed."""

    def do_GET(self):
        path = urlparse(self.path).path
        if "/tree/" in path:
            below = self.root / path.partition("/tree/")[2].partition("/")[2]
            self.respond([self.entry(file) for file in below.iterdir()] if below.is_dir() else None)
        elif path.startswith("/api/datasets/owner/name"):
            self.respond({"id": "owner/name", "sha": REVISION, "siblings": [], "private": False})
        elif (
            "/resolve/" in path
            and (file := self.root / path.partition("/resolve/")[2].partition("/")[2]).is_file()
        ):
            self.respond(file.read_bytes(), {"X-Repo-Commit": REVISION, "ETag": f'"{file.name}"'})
        else:
            self.respond(None)

    do_HEAD = do_GET

    def entry(self, path):
        """Return the hub's entry of a file or folder."""
        kind = "file" if path.is_file() else "directory"
        return {
            "type": kind,
            "path": path.relative_to(self.root).as_posix(),
            "size": path.stat().st_size,
            "oid": "0",
        }

    def respond(self, content, headers=None):
        """Bytes as they are, else JSON; None: there is nothing."""
        self.send_response(404 if content is None else 200)
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        headers = headers or ({"X-Error-Code": "EntryNotFound"} if content is None else {})
        sizes = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        for name, value in {**sizes, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture
def endpoint(tmp_path):
    for split, labels in (("train", [0, 1] * 12), ("test", [0, 1])):
        write_table(tmp_path / "hub" / "data", split, labels)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Hub,), {"root": tmp_path / "hub"}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def prepare(place, endpoint, *options):
    """Prepare the set in a process of its own; return its exit code and what it printed."""

    def program():
        for module, constants in {
            huggingface_hub.constants: {"ENDPOINT": endpoint, "HF_HUB_CACHE": str(place / "hub")},
            datasets.config: {"HF_ENDPOINT": endpoint, "HF_DATASETS_CACHE": place / "datasets"},
        }.items():
            vars(module).update(constants)
        template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE = template
        sys.argv = ["spikeduel", "data", "prepare", "hf:owner/name", "--quiet", *options]
        main()

    code, lines = Forked(program).ended()
    return code, "\n".join(lines)


def test_a_set_is_fetched_once(endpoint, tmp_path):
    code, output = prepare(tmp_path, endpoint)
    assert code == 0, output
    assert "26" in output
    # Prepared anew, of what the library has: nobody answers there.
    code, output = prepare(tmp_path, "http://127.0.0.1:9", "--image-size", "8")
    assert code == 0, output
    assert "26" in output

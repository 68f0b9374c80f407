import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spikeduel.data.downloading import Remote, download
from spikeduel.system.errors import InputError

CONTENT = bytes(range(256)) * 3000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.requests.append(self.path)  # type: ignore[attr-defined]
        if self.path == "/missing":
            self.send_error(404)
            return
        body = {"/wrong": b"something else", "/truncated": CONTENT[:1000]}.get(self.path, CONTENT)
        self.send_response(200)
        if self.path != "/bare":
            self.send_header(
                "Content-Length", str(len(CONTENT) if self.path == "/truncated" else len(body))
            )
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[http.server.ThreadingHTTPServer]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.requests = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def address_of(server: http.server.ThreadingHTTPServer, path: str) -> str:
    return f"http://127.0.0.1:{server.server_port}/{path}"


def fetched(target: Path, *urls: str, track: Any = lambda items, description, total: items) -> Path:
    return download(Remote(urls, MD5), target, track, "Use --data-dir.")


def test_file_arrives_whole_with_progress(server, tmp_path: Path) -> None:
    shown = []

    def track(items, description, total):
        for item in items:
            shown.append((description, total))
            yield item

    target = fetched(tmp_path / "new" / "file.gz", address_of(server, "right"), track=track)
    assert target.read_bytes() == CONTENT
    assert shown == [("downloading file.gz", 3)] * 3
    assert list(target.parent.iterdir()) == [target]


def test_second_mirror_after_404(server, tmp_path: Path) -> None:
    assert (
        fetched(
            tmp_path / "file", address_of(server, "missing"), address_of(server, "right")
        ).read_bytes()
        == CONTENT
    )
    assert server.requests == ["/missing", "/right"]


def test_what_is_there_is_not_fetched_and_what_is_damaged_is(server, tmp_path: Path) -> None:
    target = fetched(tmp_path / "file", address_of(server, "right"))
    fetched(target, address_of(server, "right"))
    assert len(server.requests) == 1
    target.write_bytes(CONTENT[:-1])
    assert fetched(target, address_of(server, "right")).read_bytes() == CONTENT
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("wrong", "another file than"),
        ("missing", "404"),
        ("truncated", r"a part of it \(1,000 bytes"),
    ],
)
def test_failure_is_explained_and_leaves_nothing(
    server, tmp_path: Path, path: str, reason: str
) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        fetched(tmp_path / "sub" / "file.gz", address_of(server, path))
    message = str(caught.value)
    assert "file.gz" in message
    assert address_of(server, path) in message
    assert message.endswith("Use --data-dir.")
    assert "\n" not in message
    assert not list(tmp_path.glob("sub/*"))

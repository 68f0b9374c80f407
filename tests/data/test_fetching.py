import hashlib
import http.server
import threading
import zipfile
from contextlib import ExitStack

import pytest

from spikeduel.data.fetching import Remote, download, tree
from spikeduel.system.errors import InputError


def contents(place, *archives):
    with ExitStack() as stack:
        files = tree(place, frozenset({".bin"}), stack, archives)
        return {path: (str(file), file.read_bytes()) for path, file in files.items()}


@pytest.fixture
def mine(tmp_path):
    """A file, and a zip file of one."""
    root = tmp_path / "mine"
    (root / "a").mkdir(parents=True)
    (root / "a" / "one.bin").write_bytes(b"1")
    (root / "a" / "note.md").write_bytes(b"no")
    with zipfile.ZipFile(root / "Two.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b/two.bin", b"2")
        archive.writestr("b/.two.bin", b"hidden")
        archive.writestr("__MACOSX/b/two.bin", b"of the system")
    return root


def test_zip_files_are_opened_where_they_are_named(mine):
    one = {"a/one.bin": (f"{mine}/a/one.bin", b"1")}
    two = (f"{mine}/Two.zip/b/two.bin", b"2")
    assert contents(mine) == one
    assert contents(mine, "two.zip") == one | {"Two.zip/b/two.bin": two}
    assert contents(mine / "Two.zip") == {"b/two.bin": two}


@pytest.mark.parametrize("content", [b"PK no more", b"\x1f\x8b of a tar"])
def test_a_damaged_or_other_archive_is_named(mine, content):
    (mine / "Two.zip").write_bytes(content)
    for place, archives in ((mine, ["two.zip"]), (mine / "Two.zip", [])):
        with pytest.raises(InputError, match=r"Two\.zip: cannot be read as a zip file"):
            contents(place, *archives)


CONTENT = bytes(range(256)) * 3000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
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

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.requests = []
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def address_of(server, path):
    return f"http://127.0.0.1:{server.server_port}/{path}"


def fetched(target, *urls, track=lambda items, description, total: items):
    return download(Remote(urls, MD5), target, track, "Use --data-dir.")


def test_file_arrives_whole_with_progress_from_the_second_mirror_after_404(server, tmp_path):
    shown = []

    def track(items, description, total):
        for item in items:
            shown.append((description, total))
            yield item

    mirrors = [address_of(server, path) for path in ("missing", "right")]
    target = fetched(tmp_path / "new" / "file.gz", *mirrors, track=track)
    assert target.read_bytes() == CONTENT
    assert server.requests == ["/missing", "/right"]
    assert shown == [("downloading file.gz", 3)] * 3
    assert list(target.parent.iterdir()) == [target]


def test_what_is_there_is_not_fetched_and_what_is_damaged_is(server, tmp_path):
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
def test_failure_is_explained_and_leaves_nothing(server, tmp_path, path, reason):
    with pytest.raises(InputError, match=reason) as caught:
        fetched(tmp_path / "sub" / "file.gz", address_of(server, path))
    message = str(caught.value)
    assert "file.gz" in message
    assert address_of(server, path) in message
    assert message.endswith("Use --data-dir.")
    assert "\n" not in message
    assert not list(tmp_path.glob("sub/*"))

import io
import os
import re
import signal
import socket
import sys
import time

import anyio
import httpx
import numpy as np
import pytest
from PIL import Image, ImageDraw

from factories import of_feature
from forked import Forked
from spikeduel.cli import app
from spikeduel.features.inspection import play, serving
from spikeduel.features.inspection.serving import application
from spikeduel.system.errors import InputError, MissingExtra
from synthetic_files import png_that_claims

HOST = "http://127.0.0.1:8470"
BINARY = {"content-type": serving.BODY}


class Client:
    """Asks the application as a browser would, each time in a loop of its own."""

    def __init__(self, app):
        self.app = app

    def request(self, *arguments, **options):
        async def run():
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url=HOST) as client:
                return await client.request(*arguments, **options)

        return anyio.run(run)


@pytest.fixture(scope="module")
def client(table):
    return Client(application(table))


def ask(client, content=b"", headers=BINARY, **settings):
    return client.request("POST", "/answer", params=settings, content=content, headers=headers)


def png(picture):
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def drawing(shape=(224, 224)):
    picture = Image.new("RGBA", shape, "black")
    ImageDraw.Draw(picture).rectangle((60, 40, 160, 200), fill="white")
    return png(picture)


def photograph():
    return png(
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8))
    )


def answers(document):
    """The answer of each model, by name, with its probability after all steps."""
    return {
        model["name"]: (
            document["classes"][model["prediction"]],
            model["probabilities"][-1][model["prediction"]],
        )
        for model in document["models"]
    }


@pytest.mark.numeric
def test_a_sample_is_predicted_by_both_as_they_predict(table, client):
    for sample in (0, 7, 19):
        document = ask(client, sample=sample).json()
        assert document["classes"][document["truth"]] == table.card.classes[table.labels[sample]]
        for name, (label, probability) in answers(document).items():
            labels, probabilities = table.models[name].predict(table.samples[sample][None])
            assert label == table.card.classes[labels[0]]
            assert probability == pytest.approx(probabilities[0, labels[0]], abs=1e-4)


@pytest.mark.numeric
@pytest.mark.parametrize("content", [drawing(), photograph()], ids=["drawing", "upload"])
def test_a_picture_is_answered_as_the_same_file_is_by_predict(table, client, tmp_path, content):
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    document = ask(client, content).json()
    assert document["truth"] is None
    for name, (label, probability) in answers(document).items():
        (row,), _ = of_feature("predicting.labelling").predict_files(table.models[name], [path])
        assert label == row["label"]
        assert probability == pytest.approx(row["probability"], abs=1e-4)


def test_settings_change_the_spiking_one_alone(client):
    as_trained = ask(client, sample=2).json()
    changed = ask(client, sample=2, num_steps=9, threshold=0.7).json()
    lif, relu = zip(as_trained["models"], changed["models"], strict=True)
    assert [len(network["probabilities"]) for network in lif] == [4, 9]
    assert lif[0]["spikes"] != lif[1]["spikes"][:4]
    assert relu[0] == relu[1]


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"this is no picture", 422, "cannot be read as an image"),
        (photograph()[:2000], 422, "This file cannot"),
        (png_that_claims(5_000, 5_000), 422, "20,000,000 pixels"),
        (bytes(serving.MAX_BYTES + 1), 413, "16 MB"),
        (b"", 422, "empty"),
    ],
    ids=["text", "cut off", "25 megapixels", "huge", "nothing"],
)
def test_what_cannot_be_used_is_refused_by_a_sentence(client, content, status, said):
    reply = ask(client, content)
    assert reply.status_code == status
    assert said in reply.json()["error"]
    assert ask(client, sample=0).status_code == 200


def test_who_sends_too_much_gets_to_read_the_refusal(served):
    with served() as address:
        content = bytes(2 * serving.MAX_BYTES)
        assert httpx.post(f"{address}answer", content=content, headers=BINARY).status_code == 413


@pytest.mark.parametrize(
    "kind",
    [
        "image/png",
        "multipart/form-data; boundary=x",
        "text/plain",
        "application/x-www-form-urlencoded",
        "",
    ],
)
def test_another_content_type_is_refused(client, kind):
    assert ask(client, drawing(), {"content-type": kind}).status_code == 415


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/play.py",
        "/..%2fplay.js",
        "//etc/passwd",
        "/static/play.js",
        "/answer/x",
    ],
)
def test_no_other_path_leads_anywhere(client, path):
    assert client.request("GET", httpx.URL(HOST, raw_path=path.encode())).status_code == 404


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8470", "192.168.0.1", ""]
)
@pytest.mark.parametrize("path", ["/", "/about", "/answer"])
def test_a_foreign_host_gets_nothing(client, host, path):
    reply = client.request(
        "POST" if path == "/answer" else "GET", path, headers={**BINARY, "host": host}
    )
    assert reply.status_code == 400
    assert len(reply.content) < 100


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
    ],
)
def test_a_page_of_somebody_else_may_not_ask(client, headers):
    assert ask(client, headers={**BINARY, **headers}, sample=0).status_code == 403


def test_the_page_of_its_own_may_ask(client):
    for host in ("127.0.0.1:8470", "localhost:8470"):
        headers = {
            **BINARY,
            "host": host,
            "origin": f"http://{host}",
            "sec-fetch-site": "same-origin",
        }
        assert ask(client, headers=headers, sample=0).status_code == 200


def test_every_response_has_the_policy(served, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError

    monkeypatch.setattr(serving, "look_inside", fail)
    with served() as address:
        replies = [
            *(httpx.get(f"{address}{path}") for path in ["", "play.js", "inside.js", "about"]),
            httpx.get(f"{address}nothing"),
            httpx.get(address, headers={"host": "evil.example"}),
            httpx.post(f"{address}answer?sample=0", headers=BINARY),
        ]

    assert [reply.status_code for reply in replies] == [200, 200, 200, 200, 404, 400, 500]
    for reply in replies:
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        assert "unsafe" not in reply.headers["content-security-policy"]
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert not {"set-cookie", "access-control-allow-origin", "server"} & set(reply.headers)


def together(table, requests):
    """The replies to `requests`, (content, settings), that are all sent before the first is
    answered.
    """
    replies = [None] * len(requests)

    async def run():
        transport = httpx.ASGITransport(application(table))
        async with (
            httpx.AsyncClient(transport=transport, base_url=HOST) as client,
            anyio.create_task_group() as group,
        ):
            for number, (content, settings) in enumerate(requests):
                group.start_soon(send, client, number, content, settings)

    async def send(client, number, content, settings):
        replies[number] = await client.post(
            "/answer", content=content, params=settings, headers=BINARY
        )

    anyio.run(run)
    return replies


@pytest.mark.numeric
def test_two_at_once_get_what_each_would_get_alone(table, client):
    requests = [
        (b"", {"sample": 1, "threshold": 0.3}),
        (drawing(), {"encoding": "rate"}),
        (b"", {"sample": 1}),
        (photograph(), {"corruption": "noise"}),
        (b"broken", {}),
        (drawing(), {"num_steps": 12}),
    ]
    alone = [ask(client, content, **settings) for content, settings in requests]
    for reply, at_once in zip(alone, together(table, requests), strict=True):
        assert (reply.status_code, reply.content) == (at_once.status_code, at_once.content)


def test_one_is_answered_at_a_time_in_turn_and_too_many_are_asked_to_come_again(table, monkeypatch):
    order, at_once = [], []

    def slowly(table, content, settings):
        at_once.append(settings["sample"])
        assert len(at_once) == 1
        time.sleep(0.02)
        order.append(at_once.pop())
        return b"{}"

    monkeypatch.setattr(serving, "_predicted", slowly)
    replies = together(
        table, [(b"", {"sample": number}) for number in range(serving.MAX_WAITING + 4)]
    )
    served = [number for number, reply in enumerate(replies) if reply.status_code == 200]
    assert len(served) == serving.MAX_WAITING + 1
    assert order == served
    assert {reply.status_code for reply in replies} == {200, 503}


def test_a_body_that_never_ends_is_given_up(client, monkeypatch):
    async def trickle():
        yield b"a"
        await anyio.sleep(5)

    monkeypatch.setattr(serving, "SLOWEST", 0.05)
    assert ask(client, trickle()).status_code == 408


def test_a_failure_is_said_without_inner_matters(table, client, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("/home/secret")

    monkeypatch.setattr(serving, "look_inside", fail)
    reply = ask(client, sample=0)
    assert reply.status_code == 500
    assert "secret" not in reply.text
    assert "RuntimeError" in reply.json()["error"]


def test_a_port_in_use_is_an_error_with_the_remedy(table):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="--port"):
            play(list(table.models.values()), taken.getsockname()[1])


def test_without_the_extra_it_says_what_to_install(table, monkeypatch):
    monkeypatch.delitem(sys.modules, "spikeduel.features.inspection.serving")
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    with pytest.raises(MissingExtra, match=r"spikeduel\[play\]"):
        play(list(table.models.values()))


def test_the_command_serves_on_loopback_alone_and_ends_with_ctrl_c():
    process = Forked(lambda: app(["play", "--port", "0", "--no-browser", "--quiet"]))
    address = next(iter(process))
    port = int(re.fullmatch(r"http://127\.0\.0\.1:(\d+)/", address)[1])
    assert httpx.post(f"{address}answer?sample=0", headers=BINARY, timeout=60).status_code == 200
    if sys.platform == "linux":
        with socket.socket() as other, pytest.raises(ConnectionRefusedError):
            other.connect(("127.0.0.2", port))
    os.kill(process.pid, signal.SIGINT)
    code, lines = process.ended()
    assert code == 0, lines
    assert lines[1:] == ["", "stopped."]

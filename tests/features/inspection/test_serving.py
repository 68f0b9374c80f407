import io
import os
import re
import signal
import socket
import sys

import anyio
import httpx
import numpy as np
import pytest
from PIL import Image, ImageDraw

from factories import of_feature
from forked import Forked
from spikeduel.cli import app
from spikeduel.features.inspection import play, serving
from spikeduel.features.inspection.serving import BODY, application
from spikeduel.system.errors import InputError, MissingExtra
from synthetic_files import png_that_claims

HOST = "http://127.0.0.1:8470"
BINARY = {"content-type": BODY}


@pytest.fixture(scope="module")
def pages(table):
    return application(table)


def replies(pages, *requests):
    """Send all requests at once to the application, as a browser would; return the responses."""
    responses = [None] * len(requests)

    async def run():
        transport = httpx.ASGITransport(pages)
        async with (
            httpx.AsyncClient(transport=transport, base_url=HOST) as client,
            anyio.create_task_group() as group,
        ):
            for number, request in enumerate(requests):
                group.start_soon(send, client, number, request)

    async def send(client, number, request):
        responses[number] = await client.request(**request)

    anyio.run(run)
    return responses


def request(content=b"", headers=BINARY, **settings):
    return {
        "method": "POST",
        "url": "/answer",
        "params": settings,
        "content": content,
        "headers": headers,
    }


def predict(pages, *arguments, **settings):
    (response,) = replies(pages, request(*arguments, **settings))
    return response


def png(picture):
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def drawing():
    picture = Image.new("RGBA", (224, 224), "black")
    ImageDraw.Draw(picture).rectangle((60, 40, 160, 200), fill="white")
    return png(picture)


def photograph():
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    return png(Image.fromarray(pixels))


def labels_and_probabilities(document):
    """Return the prediction of each model, by name, and its probability after all steps."""
    return {
        model["name"]: (
            document["classes"][model["prediction"]],
            model["probabilities"][-1][model["prediction"]],
        )
        for model in document["models"]
    }


@pytest.mark.numeric
def test_a_sample_is_predicted_by_both_as_they_predict(table, pages):
    for sample in (0, 7, 19):
        document = predict(pages, sample=sample).json()
        assert document["classes"][document["truth"]] == table.card.classes[table.labels[sample]]
        for name, (label, probability) in labels_and_probabilities(document).items():
            labels, probabilities = table.models[name].predict(table.samples[sample][None])
            assert label == table.card.classes[labels[0]]
            assert probability == pytest.approx(probabilities[0, labels[0]], abs=1e-4)


@pytest.mark.numeric
@pytest.mark.parametrize("content", [drawing(), photograph()], ids=["drawing", "upload"])
def test_a_picture_is_predicted_as_the_same_file_is(table, pages, tmp_path, content):
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    document = predict(pages, content).json()
    assert document["truth"] is None
    for name, (label, probability) in labels_and_probabilities(document).items():
        (row,), _ = of_feature("predicting.labelling").predict_files(table.models[name], [path])
        assert label == row["label"]
        assert probability == pytest.approx(row["probability"], abs=1e-4)


def test_settings_change_the_spiking_one_alone(pages):
    as_trained = predict(pages, sample=2).json()
    changed = predict(pages, sample=2, num_steps=9, threshold=0.7).json()
    lif, relu = zip(as_trained["models"], changed["models"], strict=True)
    assert [len(network["probabilities"]) for network in lif] == [4, 9]
    assert lif[0]["spikes"] != lif[1]["spikes"][:4]
    assert relu[0] == relu[1]


@pytest.mark.parametrize(
    ("content", "status", "text"),
    [
        (b"this is no picture", 422, "cannot be read as an image"),
        (photograph()[:2000], 422, "This file cannot"),
        (png_that_claims(5_000, 5_000), 422, "20,000,000 pixels"),
        (bytes(serving.MAX_BYTES + 1), 413, "16 MB"),
        (b"", 422, "empty"),
    ],
    ids=["text", "cut off", "25 megapixels", "huge", "nothing"],
)
def test_an_unusable_image_is_refused_by_a_sentence(pages, content, status, text):
    response = predict(pages, content)
    assert response.status_code == status
    assert text in response.json()["error"]
    assert predict(pages, sample=0).status_code == 200


def test_an_unknown_setting_is_refused_by_a_sentence(pages):
    response = predict(pages, sample=0, path="/etc/passwd")
    assert (response.status_code, "unknown setting" in response.json()["error"]) == (422, True)


OTHER_SITES = {
    415: [
        {"content-type": kind}
        for kind in ("image/png", "multipart/form-data; boundary=x", "text/plain", "")
    ],
    403: [
        {**BINARY, "origin": "http://evil.example"},
        {**BINARY, "origin": "null"},
        {**BINARY, "origin": "http://127.0.0.1:1"},
        {**BINARY, "sec-fetch-site": "cross-site"},
    ],
    400: [
        {**BINARY, "host": host}
        for host in ("evil.example", "127.0.0.1.evil.example", "evil.example:8470", "")
    ],
    200: [
        {**BINARY, "host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}
        for host in ("127.0.0.1:8470", "localhost:8470")
    ],
}


@pytest.mark.parametrize("status", OTHER_SITES)
def test_a_page_of_another_site_gets_no_prediction(pages, status):
    for headers in OTHER_SITES[status]:
        response = predict(pages, headers=headers, sample=0)
        assert response.status_code == status, headers
        assert status == 200 or len(response.content) < 100


def test_another_host_and_no_other_path_leads_anywhere(pages):
    paths = (
        *("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2fplay.js"),
        *("/play.py", "//etc/passwd", "/static/play.js", "/answer/x"),
    )
    urls = [httpx.URL(HOST, raw_path=path.encode()) for path in paths]
    responses = replies(pages, *({"method": "GET", "url": url} for url in urls))
    assert {response.status_code for response in responses} == {404}
    evil = {"method": "GET", "headers": {"host": "evil.example"}}
    responses = replies(pages, {**evil, "url": "/"}, {**evil, "url": "/about"})
    assert {response.status_code for response in responses} == {400}


def failing(*arguments, **options):
    raise RuntimeError("/home/secret")


def test_every_response_has_the_policy_and_a_failure_no_inner_matters(served, monkeypatch):
    monkeypatch.setattr(serving, "look_inside", failing)
    with served() as address:
        responses = [
            *(httpx.get(f"{address}{path}") for path in ["", "play.js", "inside.js", "about"]),
            httpx.get(f"{address}nothing"),
            httpx.get(address, headers={"host": "evil.example"}),
            httpx.post(f"{address}answer?sample=0", headers=BINARY),
        ]

    codes = [response.status_code for response in responses]
    assert codes == [200, 200, 200, 200, 404, 400, 500]
    for response in responses:
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert "unsafe" not in response.headers["content-security-policy"]
        assert response.headers["x-content-type-options"] == "nosniff"
        assert not {"set-cookie", "access-control-allow-origin", "server"} & set(response.headers)
    assert "secret" not in responses[-1].text
    assert "RuntimeError" in responses[-1].json()["error"]


@pytest.mark.numeric
def test_requests_at_once_get_what_each_would_get_alone(pages):
    requests = [
        request(sample=1, threshold=0.3),
        request(drawing(), encoding="rate"),
        request(sample=1),
        request(photograph(), corruption="noise"),
        request(b"broken"),
        request(drawing(), num_steps=12),
    ]
    for sent, response in zip(requests, replies(pages, *requests), strict=True):
        (alone,) = replies(pages, sent)
        assert (alone.status_code, alone.content) == (response.status_code, response.content)


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

"""Prebuilt requests mean what a well-built form means."""

import io
from contextlib import closing

import pytest
from PIL import Image
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from onejob_contract.wire import Origin
from onejob_load.generator.requests import Requests, picture


def parsed(data: bytes) -> Request:
    head, _, body = data.partition(b"\r\n\r\n")
    (method, target, _), *lines = (line.split(" ", 2) for line in head.decode().split("\r\n"))
    headers = [(name.rstrip(":"), " ".join(value)) for name, *value in lines]
    with closing(EnvironBuilder(path=target, method=method, headers=headers, data=body)) as builder:
        return Request(builder.get_environ())


@pytest.fixture
def requests() -> Requests:
    origin = Origin.parse("http://127.0.0.1:5000/api")
    return Requests(
        origin,
        (("X-Key", "1"),),
        token="run",  # noqa: S106 (a name, no secret)
        image_kib=4,
        seed=1,
    )


@pytest.mark.parametrize("session", ["s", "séance 日本", 'a"b', "x" * 128])
def test_any_session_fits_into_the_prebuilt_form(requests, session):
    with parsed(requests.publish(session, "ann")) as request:
        assert request.path == "/api/publish"
        assert request.form["sessionId"] == session
        assert set(request.files) == {"image1", "image2"}
        assert request.headers["X-Key"] == "1"
        assert request.headers["X-Onejob-Request"] == "run/ann/1"


def test_an_opaque_job_id_is_one_segment_of_the_path(requests):
    assert requests.status("a/b?c", "ann").startswith(b"GET /api/status/a%2Fb%3Fc HTTP/1.1\r\n")


@pytest.mark.parametrize("kib", [1, 64, 1024])
def test_a_padded_image_has_the_size_asked_for_and_opens(kib):
    image = picture(seed=3, kib=kib)

    assert len(image.content) == kib * 1024
    with Image.open(io.BytesIO(image.content)) as opened:
        opened.load()
        assert opened.format == "PNG"

"""A worker claims a job, composes its images and reports; whoever dies, another goes on."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from onejob_fixtures.images import BROKEN, VALID, small_png
from onejob_reference import composition
from onejob_reference.claims import Claim, Claims
from onejob_reference.decoder import Decoder
from onejob_reference.report import Answer
from onejob_reference.results import Results
from onejob_reference.sweeper import Sweeper
from onejob_reference.uploads import Uploads
from onejob_reference.worker import Worker

if TYPE_CHECKING:
    from conftest import Server

MAX_PIXELS = 50_000_000
PNG = small_png(1).content


class DirectReporter:
    """Reports without a network, and remembers what the server said."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.answers: list[int] = []

    def report(self, job_id: str, result_url: str, _lost: threading.Event) -> Answer:
        answer = self._server.complete(job_id, result_url)
        self.answers.append(answer.status_code)
        return Answer.TAKEN if answer.status_code == 200 else Answer.REFUSED


@pytest.fixture
def lock_url() -> str:
    return "sql:"


@pytest.fixture
def reporter(server: Server) -> DirectReporter:
    return DirectReporter(server)


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    decoder = Decoder(MAX_PIXELS, max_seconds=20)
    yield decoder
    decoder.close()


@pytest.fixture
def work_with(
    server: Server, claims: Claims, reporter: DirectReporter
) -> Callable[[Decoder], Worker]:
    uploads = Uploads(server.settings.upload_root)
    results = Results(server.settings.result_root, "https://server.test")
    return lambda decoder: Worker(claims, uploads, decoder, results, reporter, max_attempts=2)


@pytest.fixture
def worker(work_with: Callable[[Decoder], Worker], decoder: Decoder) -> Worker:
    return work_with(decoder)


def _claimed(claims: Claims) -> Claim:
    claim = claims.next()
    assert claim is not None
    return claim


def _claimed_in_time(claims: Claims) -> Claim:
    deadline = time.monotonic() + 10
    while (claim := claims.next()) is None:
        assert time.monotonic() < deadline, "the lease never ended"
        time.sleep(0.02)
    return claim


def _result(server: Server, job_id: str) -> Image.Image:
    url = server.status(job_id).get_json()["image_url"]
    with server.app.test_client().get(url.removeprefix("https://server.test")) as shown:
        assert (shown.status_code, shown.mimetype) == (200, "image/png")
        return Image.open(BytesIO(shown.data))


def _make_endless(image: Path) -> None:
    """Let reading the image never end."""
    image.unlink()
    os.mkfifo(image)


def _decoders() -> set[int]:
    """Return the process ids of all decoders of this process."""
    children = " ".join(
        task.read_text() for task in Path(f"/proc/{os.getpid()}/task").glob("*/children")
    )
    return {
        int(pid)
        for pid in children.split()
        if b"onejob_reference.decoder" in Path(f"/proc/{pid}/cmdline").read_bytes()
    }


def test_a_job_ends_in_a_picture_of_both_images(
    server: Server, worker: Worker, claims: Claims
) -> None:
    red, blue = BytesIO(), BytesIO()
    Image.new("RGB", (30, 20), "red").save(red, "PNG")
    Image.new("RGB", (40, 40), "blue").save(blue, "PNG")
    job_id = str(server.publish("s", red.getvalue(), blue.getvalue()).get_json()["jobId"])

    worker.perform(_claimed(claims))

    picture = _result(server, job_id)
    assert picture.size == (30 + 20, 20)
    assert picture.getpixel((5, 5)) == (255, 0, 0, 255)
    assert picture.getpixel((45, 5)) == (0, 0, 255, 255)
    assert server.uploads() == []
    assert server.publish("s").status_code == 200


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_bytes_that_are_no_image_end_in_a_placeholder(
    server: Server, worker: Worker, claims: Claims, name: str
) -> None:
    job_id = str(server.publish("s", BROKEN[name].content).get_json()["jobId"])

    worker.perform(_claimed(claims))

    assert _result(server, job_id).width > 0
    assert server.publish("s").status_code == 200


def test_a_claimed_job_is_claimed_by_no_other(server: Server, claims: Claims) -> None:
    job_id = server.accepted("s")

    assert claims.next() == Claim(job_id, attempt=1)
    assert claims.next() is None
    assert claims.claim(job_id) is None


def test_the_job_of_a_dead_worker_passes_to_another(server: Server, claims: Claims) -> None:
    job_id = server.accepted("s")
    first = _claimed(claims)

    second = _claimed_in_time(claims)

    assert second == Claim(job_id, attempt=2)
    assert not claims.renew(first)
    assert claims.renew(second)


def test_a_worker_that_comes_back_late_changes_nothing(
    server: Server, worker: Worker, claims: Claims, reporter: DirectReporter
) -> None:
    job_id = server.accepted("s")
    stale = _claimed(claims)
    worker.perform(_claimed_in_time(claims))
    told = server.status(job_id).get_json()

    with_its_images_in_memory = (BytesIO(PNG), BytesIO(PNG))
    Uploads(server.settings.upload_root).save(job_id, with_its_images_in_memory)
    worker.perform(stale)

    assert reporter.answers == [200, 404]
    assert server.status(job_id).get_json() == told
    assert [path.name for path in server.settings.result_root.iterdir()] == [f"{job_id}.2.png"]


def test_a_job_that_kills_its_workers_ends_in_a_placeholder(
    server: Server, worker: Worker, claims: Claims
) -> None:
    job_id = server.accepted("s")
    _claimed(claims)
    _claimed_in_time(claims)

    worker.perform(_claimed_in_time(claims))

    assert server.status(job_id).get_json()["image_url"].endswith(f"{job_id}.3.png")
    assert server.publish("s").status_code == 200


def test_a_job_nobody_was_told_of_is_found_when_it_has_waited(
    server: Server, claims: Claims
) -> None:
    job_id = server.accepted("s")

    assert claims.next(age=60) is None
    deadline = time.monotonic() + 10
    while (claim := claims.next(age=0.05)) is None:
        assert time.monotonic() < deadline, "never found"

    assert claim == Claim(job_id, attempt=1)


def test_images_that_cannot_be_reached_wait_for_the_next_attempt(
    server: Server, worker: Worker, claims: Claims
) -> None:
    job_id = server.accepted("s")
    uploads = server.settings.upload_root
    aside = uploads.rename(uploads.with_name("aside"))
    uploads.write_text("a file where the folder was")
    worker.perform(_claimed(claims))
    assert server.status(job_id).get_json() == {"status": "processing"}

    uploads.unlink()
    aside.rename(uploads)
    worker.perform(_claimed_in_time(claims))

    assert server.status(job_id).get_json()["image_url"].endswith(f"{job_id}.2.png")


def test_a_decoder_that_hangs_ends_in_a_placeholder(
    server: Server, work_with: Callable[[Decoder], Worker], claims: Claims
) -> None:
    job_id = server.accepted("s")
    _make_endless(Uploads(server.settings.upload_root).paths(job_id)[0])
    impatient = Decoder(MAX_PIXELS, max_seconds=0.5)

    work_with(impatient).perform(_claimed(claims))

    assert _result(server, job_id).size == composition.PLACEHOLDER_SIZE
    assert server.publish("s").status_code == 200
    assert _decoders() == set()


def test_a_decoder_that_crashes_costs_one_attempt(
    server: Server, worker: Worker, claims: Claims
) -> None:
    job_id = server.accepted("s")
    image = Uploads(server.settings.upload_root).paths(job_id)[0]
    content = image.read_bytes()
    _make_endless(image)
    working = threading.Thread(target=worker.perform, args=(_claimed(claims),))
    working.start()
    deadline = time.monotonic() + 10
    while not (decoders := _decoders()):
        assert time.monotonic() < deadline, "no decoder"
    for pid in decoders:
        os.kill(pid, signal.SIGKILL)
    working.join()
    assert server.status(job_id).get_json() == {"status": "processing"}

    image.unlink()
    image.write_bytes(content)
    worker.perform(_claimed_in_time(claims))

    assert _result(server, job_id).size != composition.PLACEHOLDER_SIZE


def test_the_sweep_spares_active_jobs_and_foreign_files(server: Server, claims: Claims) -> None:
    active = server.accepted("s")
    left = "00000000-0000-4000-8000-000000000000"
    uploads = Uploads(server.settings.upload_root)
    uploads.save(left, (BytesIO(b"1"), BytesIO(b"2")))
    foreign = server.settings.upload_root / "foreign" / "image1"
    foreign.parent.mkdir()
    foreign.write_bytes(b"kept")

    Sweeper(claims, uploads).sweep(older_than=-1)

    assert sorted(path.parent.name for path in server.uploads()) == [active, active, "foreign"]


@pytest.mark.parametrize("name", sorted(VALID))
def test_every_valid_image_is_read(tmp_path: Path, name: str) -> None:
    image, other = VALID[name], tmp_path / "other"
    (tmp_path / "image").write_bytes(image.content)
    Image.new("L", (4, 4)).save(other, "PNG")

    png = composition.side_by_side(tmp_path / "image", other, MAX_PIXELS)

    assert Image.open(BytesIO(png)).height <= 4


def _composed(tmp_path: Path, paint: Callable[[Path], None]) -> Image.Image:
    paint(tmp_path / "image")
    Image.new("RGB", (1, 64)).save(tmp_path / "other", "PNG")
    png = composition.side_by_side(tmp_path / "image", tmp_path / "other", MAX_PIXELS)
    return Image.open(BytesIO(png))


def test_sixteen_bit_grey_keeps_its_tones(tmp_path: Path) -> None:
    def paint(path: Path) -> None:
        Image.new("I;16", (8, 8), 0x8080).save(path, "PNG")

    assert _composed(tmp_path, paint).getpixel((0, 0)) == (0x80, 0x80, 0x80, 255)


def test_a_turned_photo_stands_upright(tmp_path: Path) -> None:
    def paint(path: Path) -> None:
        photo, exif = Image.new("RGB", (30, 10), "white"), Image.Exif()
        exif[0x0112] = 6  # the camera was held upright
        photo.save(path, "JPEG", exif=exif)

    assert _composed(tmp_path, paint).size == (10 + 1, 30)


def test_of_an_animation_the_first_frame_counts(tmp_path: Path) -> None:
    def paint(path: Path) -> None:
        frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime")]
        frames[0].save(path, "GIF", save_all=True, append_images=frames[1:])

    assert _composed(tmp_path, paint).getpixel((0, 0)) == (255, 0, 0, 255)


def test_a_bomb_is_not_decoded(tmp_path: Path) -> None:
    Image.new("1", (9000, 9000)).save(tmp_path / "bomb", "PNG")

    with pytest.raises(composition.UnreadableImageError, match="more than 50000000 pixels"):
        composition.side_by_side(tmp_path / "bomb", tmp_path / "bomb", MAX_PIXELS)

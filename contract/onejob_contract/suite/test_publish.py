"""POST /publish: what is accepted, and what each refusal says."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import permutations

from onejob_contract.checks import Cost, proves
from onejob_contract.client import NO_AGENT, in_lower_case, publish_request
from onejob_contract.documented import Answer, Call
from onejob_contract.findings import NotApplicable, Violation
from onejob_contract.iut import Iut, Job
from onejob_fixtures.forms import BOUNDARIES, WRITINGS, Part, encode, publish_parts
from onejob_fixtures.images import IN_CONTRACT, small_jpeg, small_png
from onejob_fixtures.names import FILE_NAMES, SESSION_STEMS, SessionStem

SLOW_TO_PAINT_PIXELS = 5_000_000
MISREAD_FILE_NAMES = frozenset({"one_dot", "two_dots", "only_space"})
"""Names that well-kept form parsers take for "no file": nobody is accused for them."""

CLIENT_ERROR = 4
"""The first digit of a status."""
OCTETS = "application/octet-stream"
_TEENS = 12
"""So many jobs get numbers of two digits, counted from 0 or 1."""
NOTHINGS = ("0", "-1", "false", "null", "undefined", "None", "NaN", " ", "*", "%")
TAKEN_WORDS = (
    (
        ("plain", "constructor"),
        ("simple", "toString"),
        ("usual", "__proto__"),
        ("common", "hasOwnProperty"),
    ),
    (("-", "."), ("--", "..")),
)
"""Ordinary words, each with a name that JavaScript's objects inherit, or that every folder has.

No run leaves one of them busy, as it may leave `NOTHINGS` where nobody can complete a job.
"""


@proves("PUBLISH-ACCEPTED", "RESPONSE-JSON")
def test_a_complete_publish_on_a_free_session_is_granted(iut: Iut) -> None:
    """PNG and JPEG in all combinations, and one image twice, each on a session of its own."""
    pairs = [
        (small_png(1), small_png(2)),
        (small_jpeg(1), small_jpeg(2)),
        (small_png(3), small_jpeg(3)),
        (small_jpeg(4), small_png(4)),
        (small_png(5), small_png(5)),
    ]
    for first, second in pairs:
        session = iut.new_session()
        iut.publish_parts(session, publish_parts(session, first, second)).must_be(Answer.GRANTED)


@proves("PUBLISH-ACCEPTED", "PUBLISH-JOB-ID-UNIQUE", cost=Cost.VOLUME)
def test_every_new_session_is_granted_a_job_of_its_own(iut: Iut) -> None:
    """Many new sessions, some with a second job; jobIds are compared with all of the run."""
    for number in iut.rounds(90, 400, 6000):
        job = iut.must_grant(iut.new_session())
        if number % 20 == 0 and iut.run.surroundings.update_status:
            iut.complete(job)
            job = iut.must_grant(job.session)
        done = (Answer.COMPLETED,) if iut.run.has_worker else ()
        iut.status(job).is_arranged(Answer.PROCESSING, *done)


@proves("PUBLISH-JOB-ID-UNIQUE")
def test_no_job_is_called_like_a_job_of_a_session_with_a_longer_name(iut: Iut) -> None:
    """Names and numbers that run together: the eleventh job of x, and the first one of x1."""
    short = iut.new_session()
    for session, jobs in ((short, _TEENS), (f"{short}1", 2)):
        for _ in range(jobs if iut.run.surroundings.update_status else 1):
            job = iut.active_job(session)
            if iut.run.surroundings.update_status:
                iut.complete(job)


@proves("PUBLISH-ACCEPTED")
def test_forms_are_accepted_as_clients_of_every_kind_write_them(iut: Iut) -> None:
    """The boundaries and headers of browsers, curl and libraries.

    JavaScript writes the names of headers in lower case; some clients do not say who they are.
    """
    for boundary in BOUNDARIES.values():
        session = iut.new_session()
        iut.publish(session, encode(iut.parts(session), boundary)).must_be(Answer.GRANTED)
    for header in (("Expect", "100-continue"), NO_AGENT):
        session = iut.new_session()
        request = publish_request(iut.form(session))
        request = replace(request, headers=(*request.headers, header))
        iut.documented(Call.PUBLISH, request, session).must_be(Answer.GRANTED)
    session = iut.new_session()
    request = in_lower_case(publish_request(iut.form(session)))
    iut.documented(Call.PUBLISH, request, session).must_be(Answer.GRANTED)


@proves("PUBLISH-ANY-WRITING")
def test_forms_are_read_in_every_way_in_which_mime_lets_them_be_written(iut: Iut) -> None:
    """A media type for the text, as in Java; none for the images, as in Python; odd headers.

    Or the one that curl and browsers give to files whose name tells them nothing.
    """
    for media_type in ("text/plain", "text/plain; charset=UTF-8"):
        session = iut.new_session()
        text, *images = iut.parts(session)
        parts = (replace(text, media_type=media_type), *images)
        iut.publish_parts(session, parts).must_be(Answer.GRANTED)
    for of_images in (None, OCTETS):
        session = iut.new_session()
        text, *images = iut.parts(session)
        images = [replace(image, media_type=of_images) for image in images]
        iut.publish_parts(session, [text, *images]).must_be(Answer.GRANTED)
    for write in WRITINGS.values():
        session = iut.new_session()
        iut.publish(session, write(iut.form(session))).must_be(Answer.GRANTED)


@proves("PUBLISH-ANY-FIELD-ORDER", "LOCK-ONE-ACTIVE-JOB")
def test_the_order_of_the_fields_does_not_matter(iut: Iut) -> None:
    """All six orders of the three fields; each job then behaves like any other."""
    for order in permutations(range(3)):
        session = iut.new_session()
        parts = iut.parts(session)
        shuffled = [parts[index] for index in order]
        iut.requirement = "PUBLISH-ANY-FIELD-ORDER"
        iut.publish_parts(session, shuffled).must_be(Answer.GRANTED)
        iut.requirement = "LOCK-ONE-ACTIVE-JOB"
        iut.sees_busy(session)


@proves("PUBLISH-ANY-FIELD-ORDER")
def test_refusals_do_not_depend_on_the_order_of_the_fields(iut: Iut) -> None:
    """The same field missing from every order is told as in the order of the document."""
    session = iut.new_session()
    name, image1, image2 = iut.parts(session)
    for parts in ((name, image1), (name, image2)):
        iut.publish_parts(session, parts).is_arranged(Answer.MISSING_IMAGE)
    iut.publish_parts(session, (image1, image2)).is_arranged(Answer.MISSING_SESSION)
    for parts in ((image1, name), (name, image2), (image2, name), (name, image1)):
        iut.publish_parts(session, parts).must_be(Answer.MISSING_IMAGE)
    iut.publish_parts(session, (image2, image1)).must_be(Answer.MISSING_SESSION)


@proves("PUBLISH-ANY-SESSION-ID", cost=Cost.LIST)
def test_any_text_names_a_session(iut: Iut) -> None:
    """Every kind of session id gets a job, is busy while it is active, and free after it."""

    def begins(stem: SessionStem) -> Job | None:
        (session,) = iut.named(stem)
        seen = iut.publish(session)
        if stem.nonce_as == "ideograph" and seen.answer is Answer.BUSY:
            return None  # one character has no room for a nonce: an earlier run may hold it
        seen.must_be(Answer.GRANTED)
        return Job(seen.step.granted_job or "", session)

    def lives(job: Job) -> None:
        if iut.sees_busy(job.session) and iut.run.surroundings.update_status:
            iut.complete(job)
            iut.complete(iut.must_grant(job.session))

    iut.in_two_stages(SESSION_STEMS.values(), begins, lives)


@proves("PUBLISH-ANY-SESSION-ID")
def test_words_that_mean_nothing_elsewhere_name_sessions(iut: Iut) -> None:
    """Texts that careless code takes for no text, or for all; an earlier run may hold them."""
    for session in NOTHINGS:
        _is_a_session(iut, session)


@proves("PUBLISH-ANY-SESSION-ID")
def test_words_that_objects_are_born_with_name_sessions(iut: Iut) -> None:
    """Names that every object of some languages has: a table of sessions begins without them.

    So do the names that every folder has. Another run may hold one at this moment; that all of them
    are held, twice, and none of the words tried in between, is no other run.
    """
    if not iut.run.surroundings.update_status:
        raise NotApplicable("nobody could free sessions that others want, too")
    for words in TAKEN_WORDS:
        if all(_are_taken(iut, words) for _ in range(2)):
            names = [taken for _, taken in words]
            raise Violation(
                iut.requirement,
                f"a job for the sessions {', '.join(map(repr, names))}, like for others",
                "429 for each of them, though nobody publishes there",
                [step for step in iut.trace if step.session in names],
                replayable=False,
            )


def _are_taken(iut: Iut, words: Iterable[tuple[str, str]]) -> bool:
    """Whether every second word is busy, and no first one."""
    tried = [(_is_a_session(iut, plain), _is_a_session(iut, taken)) for plain, taken in words]
    return all(plain and not taken for plain, taken in tried)


def _is_a_session(iut: Iut, session: str) -> bool:
    """Publish for a session that others may use too; False if it was busy.

    While our job is active nobody else is granted one. It is finished if we can.
    """
    seen = iut.publish(session, is_ours=False).must_be(Answer.GRANTED, Answer.BUSY)
    job = seen.step.granted_job
    if job is None:
        return False
    iut.sees_busy(session)
    if iut.run.surroundings.update_status:
        iut.update(job, iut.new_url())
    return True


@proves("PUBLISH-ANY-SESSION-ID", cost=Cost.VOLUME)
def test_random_texts_name_sessions(iut: Iut) -> None:
    """Random printable text of every length from the nonce's to 128 characters."""
    alphabets = (
        "abcXYZ019-_.",
        "äöüßéñçøåЖдфΩλ",
        "汉字かなカナ한글",
        "😀🎉👩‍🚀🏳️‍🌈",
        " !\"#$%&'()*+,/:;<=>?@[]^`{|}~\\",
    )
    for _ in iut.rounds(25, 200, 2000):
        nonce = iut.nonce()
        length = iut.random.randint(0, 128 - len(nonce))
        alphabet = "".join(iut.random.sample(alphabets, iut.random.randint(1, len(alphabets))))
        text = "".join(iut.random.choice(alphabet) for _ in range(length))
        cut = iut.random.randint(0, length)
        session = text[:cut] + nonce + text[cut:]
        job = iut.must_grant(session)
        if iut.sees_busy(session) and iut.run.surroundings.update_status:
            iut.complete(job)
            iut.complete(iut.must_grant(session))


@proves("PUBLISH-ANY-IMAGE", cost=Cost.HEAVY)
def test_png_and_jpeg_images_of_every_kind_are_accepted(iut: Iut) -> None:
    """Every mode, size and encoding, as first and as second image."""
    partner = small_png(1)
    images = sorted(IN_CONTRACT.values(), key=lambda image: image.width * image.height)
    if iut.run.profile.name == "quick":
        images = [image for image in images if image.width * image.height < SLOW_TO_PAINT_PIXELS]

    def accepted(position: tuple[int, int]) -> None:
        number, place = position
        session = iut.new_session()
        pair = (images[number], partner) if place == 0 else (partner, images[number])
        iut.publish_parts(session, publish_parts(session, *pair)).must_be(Answer.GRANTED)

    iut.each(((number, place) for number in range(len(images)) for place in (0, 1)), accepted)


@proves("PUBLISH-ANY-FILE-NAME", cost=Cost.LIST)
def test_file_names_do_not_matter(iut: Iut) -> None:
    """Every kind of file name for the first, the second, and both images."""

    def accepted(case: tuple[str, int]) -> None:
        name, which = case
        session = iut.new_session()
        field, image1, image2 = iut.parts(session)
        parts = (
            field,
            _named(image1, name) if which in (0, 2) else image1,
            _named(image2, name) if which in (1, 2) else image2,
        )
        iut.publish_parts(session, parts).must_be(Answer.GRANTED)

    names = [name for key, name in FILE_NAMES.items() if key not in MISREAD_FILE_NAMES]
    places = (2,) if iut.run.profile.name == "quick" else (0, 1, 2)
    iut.each([(name, which) for which in places for name in names], accepted)


@proves("PUBLISH-MISSING-SESSION")
def test_a_publish_without_session_is_told_so(iut: Iut) -> None:
    """Both images and no sessionId, from several clients, also while sessions are busy."""
    job = iut.active_job()
    for number in range(3):
        _, image1, image2 = publish_parts(job.session, small_png(number), small_jpeg(number))
        iut.publish_parts("", (image1, image2)).must_be(Answer.MISSING_SESSION)


@proves("PUBLISH-MISSING-IMAGE")
def test_a_publish_without_an_image_is_told_so(iut: Iut) -> None:
    """Without the first, the second, or both images, on a free session each."""
    for missing in ((1,), (2,), (1, 2)):
        session = iut.new_session()
        parts = [part for index, part in enumerate(iut.parts(session)) if index not in missing]
        iut.publish_parts(session, parts).must_be(Answer.MISSING_IMAGE)


@proves("PUBLISH-MISSING-IMAGE")
def test_no_other_file_stands_in_for_an_image(iut: Iut) -> None:
    """A file of another name, or the same image twice: who does not know such forms may say so."""
    for missing, stand_in in ((2, "image3"), (1, "image3"), (2, "image1"), (1, "image2")):
        session = iut.new_session()
        parts = list(iut.parts(session))
        parts[missing] = replace(parts[missing], name=stand_in)
        seen = iut.publish_parts(session, parts)
        response = seen.step.exchange.response
        if response is None or response.status // 100 != CLIENT_ERROR:
            seen.must_be(Answer.MISSING_IMAGE)


@proves("PUBLISH-MISSING-IMAGE", "PUBLISH-MISSING-SESSION")
def test_where_two_refusals_apply_either_is_right(iut: Iut) -> None:
    """No session and an image missing; a busy session and an image missing."""
    _, image1, image2 = iut.parts(iut.new_session())
    for part in (image1, image2):
        iut.publish_parts("", (part,)).must_be(Answer.MISSING_SESSION, Answer.MISSING_IMAGE)
    job = iut.active_job()
    name, image1, image2 = iut.parts(job.session)
    for parts in ((name, image1), (name, image2), (name,)):
        iut.publish_parts(job.session, parts).must_be(Answer.MISSING_IMAGE, Answer.BUSY)


@proves("PUBLISH-BUSY")
def test_a_busy_session_is_told_so(iut: Iut) -> None:
    """The second publish, with other images, in another order, and many times in a row."""
    job = iut.active_job()
    iut.publish(job.session).must_be(Answer.BUSY)
    parts = publish_parts(job.session, small_jpeg(8), small_png(9))
    iut.publish_parts(job.session, parts).must_be(Answer.BUSY)
    iut.publish_parts(job.session, parts[::-1]).must_be(Answer.BUSY)
    for _ in iut.rounds(30, 60, 200):
        iut.publish(job.session).must_be(Answer.BUSY)


@proves("PUBLISH-ANY-IMAGE")
def test_two_large_images_are_accepted(iut: Iut) -> None:
    """Two images of a mebibyte on a free session."""
    image, session = IN_CONTRACT["png_1_mebibyte"], iut.new_session()
    iut.publish_parts(session, publish_parts(session, image, image)).must_be(Answer.GRANTED)


@proves("PUBLISH-MISSING-IMAGE")
def test_a_large_image_without_the_other_is_answered_like_a_small_one(iut: Iut) -> None:
    """One image of a mebibyte on a free session."""
    _refuses_large_images(iut, iut.new_session(), 1, Answer.MISSING_IMAGE)


@proves("PUBLISH-BUSY")
def test_large_images_on_a_busy_session_are_answered_like_small_ones(iut: Iut) -> None:
    """Two images of a mebibyte, which a server may refuse before it has read them."""
    _refuses_large_images(iut, iut.active_job().session, 2, Answer.BUSY)


def _refuses_large_images(iut: Iut, session: str, number: int, answer: Answer) -> None:
    image = IN_CONTRACT["png_1_mebibyte"]
    parts = publish_parts(session, image, image)[: 1 + number]
    seen = iut.publish_parts(session, parts)
    if seen.step.exchange.response is not None:
        seen.must_be(answer)  # a refusal before the upload was read may cut the connection


def _named(part: Part, filename: str) -> Part:
    return Part(part.name, part.content, filename, part.media_type)

"""The document, the requirement catalogue, the suite and the spec say the same things."""

import importlib
import json
import pkgutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from onejob_contract import suite
from onejob_contract.catalogue import (
    Requirement,
    excluded,
    requirements,
    requirements_version,
    spec,
)
from onejob_contract.checks import MARK, Proof
from onejob_contract.documented import Answer, Call, documented_text

EXCLUDED: Final = "x-excluded"

DOCUMENT: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "Flask API Documentation": {
        "Base URL: http://<host>:<port> (default port 5000)": (EXCLUDED,),
    },
    "Flask API Documentation, Requests": {
        "application/json unless noted": ("UPDATE-OK",),
        "file upload uses multipart/form-data": ("PUBLISH-ACCEPTED",),
    },
    "Flask API Documentation, Responses": {"application/json": ("RESPONSE-JSON",)},
    "GET /health, What it does": {"Returns service health status.": ("HEALTH-OK",)},
    "GET /health, Request": {"No body.": (EXCLUDED,)},
    "GET /health, Response": {'"status": "ok"': ("HEALTH-OK",), '"service"': ("HEALTH-OK",)},
    "GET /health, Error responses": {"None": ("HEALTH-NO-ERRORS",)},
    "POST /publish, What it does": {
        "Accepts two images for a session": ("PUBLISH-ACCEPTED", "PUBLISH-ANY-IMAGE"),
        "creates a processing job": ("PUBLISH-ACCEPTED", "STATUS-PROCESSING"),
        "enforces one active job per session via a session lock": (
            "LOCK-ONE-ACTIVE-JOB",
            "LOCK-FREE-AFTER-REFUSAL",
            "LOCK-REUSABLE",
            "LOCK-LINEARIZABLE",
        ),
    },
    "POST /publish, Request": {
        "sessionId: string (required)": ("PUBLISH-ANY-SESSION-ID", "PUBLISH-MISSING-SESSION"),
        "image1: file (required)": ("PUBLISH-ANY-IMAGE", "PUBLISH-MISSING-IMAGE"),
        "image2: file (required)": ("PUBLISH-ANY-FILE-NAME", "PUBLISH-MISSING-IMAGE"),
    },
    "POST /publish, Response": {
        '"status": "processing"': ("PUBLISH-ACCEPTED",),
        '"jobId"': ("PUBLISH-ACCEPTED", "PUBLISH-JOB-ID-UNIQUE"),
        "jobId looks like a UUID in the example": (EXCLUDED,),
    },
    "POST /publish, Error responses": {
        '400 {"error": "Missing sessionId"}': ("PUBLISH-MISSING-SESSION",),
        '400 {"error": "Missing image1 or image2"}': ("PUBLISH-MISSING-IMAGE",),
        '400 {"error": "Failed to create job dir: <reason>"}': ("PUBLISH-JOB-DIR-FAILURE",),
        '400 {"error": "Failed to save files: <reason>"}': ("PUBLISH-SAVE-FAILURE",),
        '400 {"error": "DB error: <reason>"}': ("PUBLISH-DATABASE-FAILURE",),
        '429 {"error": "Previous job still processing"}': ("PUBLISH-BUSY",),
        '500 {"error": "Failed to publish job: <reason>"}': ("PUBLISH-BROKER-FAILURE",),
    },
    "POST /publish, Notes": {
        "Uploaded files are stored temporarily": (EXCLUDED,),
        "at /tmp/<jobId>/": ("PUBLISH-UPLOAD-ROOT",),
        "A session-level lock prevents concurrent jobs per session": (
            "LOCK-RACE",
            "LOCK-PER-SESSION",
            "LOCK-HELD-OVER-TIME",
        ),
    },
    "GET /status/{jobId}, What it does": {
        "Returns the processing status of a job": ("STATUS-PER-JOB", "STATUS-STABLE"),
        "when completed, the result image URL": ("STATUS-RESULT-URL",),
    },
    "GET /status/{jobId}, Path params": {
        "jobId: string (required)": ("STATUS-PROCESSING", "STATUS-NOT-FOUND"),
    },
    "GET /status/{jobId}, Request": {"No body.": (EXCLUDED,)},
    "GET /status/{jobId}, Response": {
        '200 {"status": "processing"}': ("STATUS-PROCESSING",),
        '"completed", "image_url"': ("STATUS-COMPLETED",),
        "image_url starts with https:// in the example": (EXCLUDED,),
    },
    "GET /status/{jobId}, Error responses": {
        '404 {"status": "not_found"}': ("STATUS-NOT-FOUND",),
    },
    "POST /update_status, What it does": {
        "INTERNAL: called by the worker": (EXCLUDED,),
        "mark a job as completed": ("UPDATE-TAKES-EFFECT", "WORKER-COMPLETES"),
        "update the result URL": ("STATUS-RESULT-URL",),
        "release the session lock": ("UPDATE-RELEASES-LOCK", "LOCK-RACE-COMPLETION"),
    },
    "POST /update_status, Request": {
        '"jobId"': ("UPDATE-OK", "UPDATE-MISSING-FIELDS"),
        '"resultUrl"': ("UPDATE-OK", "UPDATE-MISSING-FIELDS", "STATUS-RESULT-URL"),
    },
    "POST /update_status, Response": {'200 {"status": "updated"}': ("UPDATE-OK",)},
    "POST /update_status, Error responses": {
        '400 {"error": "Missing jobId or resultUrl"}': ("UPDATE-MISSING-FIELDS",),
        '404 {"error": "Job not found"}': ("UPDATE-NOT-FOUND",),
    },
}
"""Every section of the document, its sentences, and what judges each of them."""

EXACT_TEXTS: Final = [
    (section, sentence, id_)
    for section, sentences in DOCUMENT.items()
    for sentence, ids in sentences.items()
    for id_ in ids
    if sentence[:3].isdigit()
]


def test_every_sentence_of_the_document_is_judged_or_excluded_with_a_reason() -> None:
    reasons = {(entry.section, entry.sentence): entry.reason for entry in excluded()}
    for section, sentences in DOCUMENT.items():
        for sentence, ids in sentences.items():
            for id_ in ids:
                if id_ == EXCLUDED:
                    assert reasons.get((section, sentence)), f"{section}: {sentence}: no reason"
                else:
                    assert id_ in requirements(), f"{section}: {sentence}: no requirement {id_}"


def test_nothing_is_excluded_or_required_that_the_document_does_not_have() -> None:
    sections = {requirement.section for requirement in requirements().values()}
    assert sections <= DOCUMENT.keys()
    assert {(entry.section, entry.sentence) for entry in excluded()} == {
        (section, sentence)
        for section, sentences in DOCUMENT.items()
        for sentence, ids in sentences.items()
        if EXCLUDED in ids
    }


@pytest.mark.parametrize(("section", "sentence", "id_"), EXACT_TEXTS)
def test_a_documented_answer_is_in_its_requirement_word_for_word(
    section: str, sentence: str, id_: str
) -> None:
    requirement = requirements()[id_]
    status, _, body = sentence.partition(" ")
    assert requirement.section == section
    assert status in requirement.title
    assert body in requirement.title


@pytest.mark.parametrize(("section", "sentence", "id_"), EXACT_TEXTS)
def test_the_spec_documents_each_answer_word_for_word(
    section: str, sentence: str, id_: str
) -> None:
    status, _, text = sentence.partition(" ")
    documented = {documented_text(answer) for answer in Answer}
    assert f"{status} {text}" in documented, f"{section}, {id_}"


def test_every_requirement_has_a_check_and_every_check_a_known_requirement() -> None:
    proven = {id_ for _, proof in _proofs() for id_ in proof.requirements}
    assert proven == requirements().keys()


def test_every_check_of_the_suite_says_what_it_proves_in_a_docstring() -> None:
    for name, check in _checks():
        assert check.__doc__, f"{name} has no docstring"
        assert _proof_of(check) is not None, f"{name} proves nothing"


def test_a_check_needs_what_its_requirements_need_only() -> None:
    known = {need for requirement in requirements().values() for need in requirement.needs}
    for name, proof in _proofs():
        assert set(proof.needs) <= known, f"{name} needs something the catalogue does not name"


def test_what_a_requirement_needs_is_needed_by_all_of_its_checks() -> None:
    """A capability that is absent must not leave a check that fails for want of it."""
    for requirement in requirements().values():
        for need in set(requirement.needs) - {"update_status", "live_worker"}:
            for name, proof in _proofs():
                if requirement.id in proof.requirements:
                    assert need in proof.needs, f"{name} proves {requirement.id} without {need}"


def test_each_requirement_explains_itself() -> None:
    for requirement in requirements().values():
        assert requirement.level in ("must", "should", "open")
        assert 1 <= requirement.since <= requirements_version()
        assert requirement.operation in {*Call, "any"}
        assert requirement.title.endswith((".", '"}.'))
        assert requirement.passes != requirement.fails
        for text in (requirement.title, requirement.why, requirement.passes, requirement.fails):
            assert text.strip(), requirement.id


def test_ids_levels_and_titles_never_change_within_a_version() -> None:
    """Change the pinned file only to add requirements under a new version."""
    pinned = Path(__file__).with_name(f"requirements-v{requirements_version()}.txt")
    assert pinned.read_text("utf-8").splitlines() == [
        _pinned(requirement) for requirement in requirements().values()
    ]


def test_the_spec_is_valid_openapi() -> None:
    assert spec()["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(_plain(spec())).validate()


def test_links_lead_from_a_job_to_its_status_and_its_update_and_nowhere_else() -> None:
    """A link out of update_status would make publish unreachable for stateful testing."""
    links = {
        (operation["operationId"], link["operationId"]): link
        for path in spec()["paths"].values()
        for operation in path.values()
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    }
    assert links.keys() == {("publish", "status"), ("publish", "update_status")}
    job = {"jobId": "$response.body#/jobId"}
    assert links["publish", "status"]["parameters"] == job
    assert links["publish", "update_status"]["requestBody"] == job, "a fixed URL hides a wrong one"


def test_file_parts_are_binary_strings_so_that_generators_send_real_files() -> None:
    form = spec()["paths"]["/publish"]["post"]["requestBody"]["content"]["multipart/form-data"]
    for name in ("image1", "image2"):
        assert form["schema"]["properties"][name] == {"type": "string", "format": "binary"}
    assert "encoding" not in form


def _pinned(requirement: Requirement) -> str:
    return f"{requirement.id} | {requirement.level} | {requirement.title}"


def _checks() -> Iterator[tuple[str, Any]]:
    for module in pkgutil.iter_modules(suite.__path__, f"{suite.__name__}."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if name.startswith("test_"):
                yield f"{module.name}.{name}", value


def _proofs() -> Iterator[tuple[str, Proof]]:
    for name, check in _checks():
        proof = _proof_of(check)
        if proof is not None:
            yield name, proof


def _proof_of(check: Any) -> Proof | None:
    for mark in getattr(check, "pytestmark", ()):
        if mark.name == MARK:
            assert isinstance(mark.args[0], Proof)
            return mark.args[0]
    return None


def _plain(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document as JSON has it: status codes as strings, no read-only mappings."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(document)))
    return plain

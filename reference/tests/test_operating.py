"""What operators rely on: TLS, metrics, reloading, quiet logs, documentation in the browser."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from processes import end, ready_line, serving, small_form, start, working

IN_CI = os.environ.get("CI") == "true"


def _certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate of this machine's loopback address, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl: apt-get install openssl")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=onejob",
    ]
    made += ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [*made, "-out", str(certificate), "-keyout", str(key)], check=True, capture_output=True
    )
    return certificate, key


def test_a_job_over_tls_from_publish_to_picture(tmp_path: Path) -> None:
    certificate, key = _certificate(tmp_path)
    files = {"ONEJOB_CERTIFICATE": str(certificate), "ONEJOB_PRIVATE_KEY": str(key)}
    trust = {"ONEJOB_AUTHORITIES": str(certificate)}
    log = tmp_path / "worker.log"
    with serving(tmp_path, **files) as served, working(served.settings | trust, log) as worker:
        url = served.settings["ONEJOB_URL"]
        context = ssl.create_default_context(cafile=str(certificate))
        assert url.startswith("https://")
        assert ready_line(worker) == f"working for {url}"
        form = small_form("alice")
        request = urllib.request.Request(  # noqa: S310 (our own address)
            f"{url}/publish", form.body, {"Content-Type": form.content_type}
        )
        with urllib.request.urlopen(request, context=context) as answer:  # noqa: S310
            job_id = json.load(answer)["jobId"]

        told: dict[str, str] = {}
        deadline = time.monotonic() + 30
        while told.get("status") != "completed":
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
            with urllib.request.urlopen(f"{url}/status/{job_id}", context=context) as answer:  # noqa: S310
                told = json.load(answer)
        with urllib.request.urlopen(told["image_url"], context=context) as answer:  # noqa: S310
            assert answer.read(4) == b"\x89PNG"


def test_a_certificate_without_its_key_is_told(tmp_path: Path) -> None:
    certificate, _ = _certificate(tmp_path)
    log = tmp_path / "serve.log"

    process = start("serve", {"ONEJOB_CERTIFICATE": str(certificate)}, log)

    assert (process.wait(20), ready_line(process)) == (2, "")
    assert "private" in log.read_text()
    assert "Traceback" not in log.read_text()
    end(process)


def test_metrics_count_the_requests_of_all_processes(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with serving(tmp_path, ONEJOB_PROCESSES="2", ONEJOB_METRICS_PORT=str(port)) as served:
        for number in range(20):
            served.publish(f"session {number}")
        served.publish("session 0")

        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
            told = answer.read().decode()

        assert 'onejob_requests_total{operation="publish",status="200"} 20.0' in told
        assert 'onejob_requests_total{operation="publish",status="429"} 1.0' in told
        assert served.ask("GET", "/metrics").startswith(b"404 ")


def test_a_reload_replaces_the_processes_and_answers_everything(tmp_path: Path) -> None:
    with serving(tmp_path, ONEJOB_PROCESSES="2") as served:
        deadline, number = time.monotonic() + 30, 0
        while len(before := served.children()) < 2:  # the line says that the first one serves
            assert time.monotonic() < deadline, f"only {before}"

        served.process.send_signal(signal.SIGHUP)
        while (now := served.children()) & before or len(now) != 2:
            assert time.monotonic() < deadline, f"{before} became {now}"
            assert served.publish(f"session {number}").startswith(b"200 ")
            number += 1

        assert served.publish("session 0").startswith(b"429 ")


def test_logs_show_no_secret_and_no_password(tmp_path: Path) -> None:
    secrets = {
        "ONEJOB_UPDATE_SECRET": "hush-hush",
        "ONEJOB_LOCK": "redis://:whisper@127.0.0.1:9/0",
    }
    with serving(tmp_path, **secrets) as served:
        refused = served.publish("alice")
        served.ask(
            "POST", "/update_status", b'{"jobId": "x", "resultUrl": "y"}', "application/json"
        )

        log = served.log.read_text()

    assert refused.startswith(b"500 ")
    assert "session lock" in log
    assert not [secret for secret in ("hush-hush", "whisper") if secret in log + refused.decode()]


def test_the_documentation_opens_in_a_browser(tmp_path: Path) -> None:
    webdriver = pytest.importorskip("selenium.webdriver")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    chromedriver = shutil.which("chromedriver")
    if browser is None or chromedriver is None:
        assert not IN_CI, "CI needs a browser"
        pytest.skip("needs Chromium and its driver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,1400"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(chromedriver)
    with serving(tmp_path) as served:
        driver = webdriver.Chrome(options=options, service=service)
        try:

            def find(selector: str, count: int = 1) -> list[Any]:
                deadline = time.monotonic() + 30
                while len(found := driver.find_elements("css selector", selector)) < count:
                    assert time.monotonic() < deadline, f"{selector}: {driver.page_source[:2000]}"
                    time.sleep(0.1)
                return found

            driver.get(f"{served.settings['ONEJOB_URL']}/docs")
            paths = {element.text for element in find(".opblock-summary-path", 4)}
            for button in (".opblock-summary", ".try-out__btn", ".execute"):
                find(button)[0].click()
            tried_out = find(".live-responses-table .response-col_status")[-1].text
            complaints = [one for one in driver.get_log("browser") if one["level"] == "SEVERE"]
            driver.save_screenshot(str(tmp_path / "docs.png"))
        finally:
            driver.quit()
            service.process.wait(timeout=30)

    assert tried_out.startswith("200")
    assert paths == {"/health", "/publish", "/status/{jobId}", "/update_status"}
    assert [one for one in complaints if "favicon" not in one["message"]] == []

"""The same seed asks the same; neither old jobs nor a run beside ours change a verdict."""

import re
import threading

from kit import judged

from onejob_contract.session import Session
from onejob_contract.verdict import Exit


def sessions_of(session: Session) -> list[tuple[str, str]]:
    """The sessions that each check published for, without what names this run.

    Its token may be written in digits, or, where there is room for no more, as one ideograph.
    """
    return [
        (op.client, re.sub(r"\d{12,}", "RUN", op.session.replace(session.client.token, "RUN")))
        for op in session.client.history
        if op.session is not None and len(op.session) > 1
    ]


def test_the_same_seed_gives_the_same_requests(correct_server: str) -> None:
    # A brief look and the whole share after it begin alike, but count their names elsewhere.
    one, other, different = (
        list(
            dict.fromkeys(
                re.sub(r"RUN\d{8}", "RUN", session)
                for check, session in sessions_of(
                    judged(correct_server, "PUBLISH-ANY-SESSION-ID", seed=seed)
                )
                if check.endswith("test_random_texts_name_sessions")
            )
        )
        for seed in (7, 7, 8)
    )
    both = min(len(one), len(other))  # a busy machine may have had time for fewer rounds
    assert both > 0
    assert one[:both] == other[:both]
    assert one[:both] != different[:both]


def test_two_runs_at_once_and_a_dirty_server_change_no_verdict(correct_server: str) -> None:
    exits = []

    def run() -> None:
        exits.append(judged(correct_server, "PUBLISH-BUSY", "HEALTH-OK").conclusion().exit)

    pair = [threading.Thread(target=run) for _ in range(2)]
    for thread in pair:
        thread.start()
    for thread in pair:
        thread.join(60)
    run()
    assert exits == [Exit.CONFORMANT] * 3

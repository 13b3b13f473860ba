"""The picture: the witness stands out, text is text, and it stays small."""

import sys
from pathlib import Path
from random import Random
from xml.etree import ElementTree as ET

sys.path.insert(0, str(Path(__file__).parent))

from histories import correct_history

from onejob_contract.history import Operation, OperationKind, Outcome
from onejob_contract.linearizability import Verdict, judge
from onejob_contract.timeline import WIDTH, timeline

SVG = "{http://www.w3.org/2000/svg}"


def contended(rounds: int, clients: int, *, stolen: int) -> list[Operation]:
    """Rounds of one grant and many refusals; in one round a second job is granted."""
    history = []
    for round_ in range(rounds):
        start = round_ * 1000
        for client in range(clients):
            won = client == 0 or (round_ == stolen and client == 1)
            history.append(
                Operation(
                    session="s",
                    client=f"<client> & {client}",
                    operation=OperationKind.PUBLISH,
                    job=f"job {round_}.{client}" if won else None,
                    url=None,
                    invoked_ns=start + client,
                    returned_ns=start + 200 + client,
                    outcome=Outcome.GRANTED if won else Outcome.BUSY,
                )
            )
        history.append(
            Operation(
                session=None,
                client="worker",
                operation=OperationKind.UPDATE,
                job=f"job {round_}.0",
                url="https://r/1",
                invoked_ns=start + 800,
                returned_ns=start + 900,
                outcome=Outcome.OK,
            )
        )
    return history


def rectangles(picture: str, style: str) -> list[ET.Element]:
    root = ET.fromstring(picture)  # noqa: S314 (our own picture)
    return [r for r in root.iter(f"{SVG}rect") if style in r.get("class", "").split()]


def test_a_large_history_becomes_a_small_picture_of_the_window_that_matters() -> None:
    history = contended(160, 64, stolen=80)
    judgement = judge(history)
    assert judgement.verdict is Verdict.VIOLATION

    picture = timeline(history, judgement.witness, session=judgement.session)

    assert len(history) > 10_000
    assert len(picture) < 100_000
    bars = rectangles(picture, "witness")
    assert len([bar for bar in bars if "held" not in bar.get("class", "")]) == len(
        judgement.witness
    )
    for bar in bars:
        assert 0 <= float(bar.get("x", "-1")) <= WIDTH
    assert len(rectangles(picture, "dim")) > 0


def test_names_from_the_server_are_text_and_never_markup() -> None:
    history = contended(1, 3, stolen=0)

    picture = timeline(history, (), session="s")

    assert "<client>" not in picture
    assert "&lt;client&gt; &amp; 0" in picture


def test_the_lock_lane_shows_certain_and_possible_holders() -> None:
    history = contended(3, 2, stolen=-1)

    picture = timeline(history, (), session="s")

    assert len(rectangles(picture, "held")) == 3 + 1  # one more in the legend
    assert len(rectangles(picture, "maybe")) == 3 + 1
    assert len(rectangles(picture, "free")) == 1


def test_any_history_can_be_drawn() -> None:
    for seed in range(300):
        random = Random(seed)
        history = correct_history(random, random.randint(0, 30))

        ET.fromstring(timeline(history, history[:2]))  # noqa: S314 (our own picture)

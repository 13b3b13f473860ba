"""A history as a picture: who asked what when, and when the session was held.

One lane for each client, and above them the lock: certainly held, possibly held, or free.  The
witness is bright and everything else dim.  Of a long history only the window around the witness
is drawn, and of many clients the ones that matter.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from onejob_contract.history import Operation, OperationKind, Outcome
from onejob_contract.linearizability.jobs import Instant, Job, Window, hull_of, returned

WIDTH = 1000
"""Width of the picture in pixels; it scales with its container."""

_LEFT, _RIGHT, _TOP = 120, 12, 44
_LANE, _LOCK = 20, 34
_MOST_LANES = 16
_MOST_OPERATIONS = 400
_MARGIN = 0.35

_STYLE = """
.tl{font:11px system-ui,sans-serif;--ink:#222;--dim:#666;--line:#ddd;--paper:#fff;
--held:#3465a4;--maybe:#9db8d9;--granted:#2e7d32;--busy:#8a6d1a;--update:#7b3fa0;
--status:#607d8b;--bad:#c62828}
@media (prefers-color-scheme:dark){.tl{--ink:#eee;--dim:#aaa;--line:#444;--paper:#181818;
--held:#6fa3e0;--maybe:#35506f;--granted:#81c784;--busy:#d9b84a;--update:#c99be6;
--status:#90a4ae;--bad:#ff6e6e}}
.tl text{fill:var(--ink)}.tl .note{fill:var(--dim)}.tl .rule{stroke:var(--line)}
.tl .paper{fill:var(--paper)}.tl .held{fill:var(--held)}.tl .maybe{fill:var(--maybe)}
.tl .free{fill:none;stroke:var(--line)}
.tl .granted{fill:var(--granted)}.tl .busy{fill:var(--busy)}.tl .update{fill:var(--update)}
.tl .status{fill:var(--status)}.tl .dim{opacity:.3}
.tl .witness{stroke:var(--bad);stroke-width:2}.tl text.bad{fill:var(--bad);font-weight:600}
.tl .beam{fill:var(--bad);opacity:.1}
"""


@dataclass(frozen=True, slots=True)
class _Scale:
    """Maps instants of the window (ns) to pixels."""

    start: Instant
    end: Instant

    def x(self, instant: Instant) -> float:
        inside = min(max(instant, self.start), self.end)
        share = (inside - self.start) / (self.end - self.start)
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)

    def bar(
        self, start: Instant, end: Instant, *, y: float, height: float, style: str, title: str = ""
    ) -> str:
        """Draw a bar between two instants, two pixels wide at least."""
        x = self.x(start)
        width = max(round(self.x(end) - x, 1), 2)
        hover = f"<title>{escape(title)}</title>" if title else ""
        return (
            f'<rect class="{style}" x="{x}" y="{y}" width="{width}" height="{height}" rx="2">'
            f"{hover}</rect>"
        )

    def shows(self, operation: Operation) -> bool:
        return operation.invoked_ns <= self.end and returned(operation) >= self.start


def timeline(
    operations: Iterable[Operation],
    witness: Sequence[Operation],
    *,
    session: str | None = None,
    live_worker: bool = False,
) -> str:
    """Draw one session of a history as an SVG element, the witness marked.

    ``session`` chooses what is drawn besides the witness; None draws every session.
    """
    history = list(operations)
    sessions = {o.job: o.session for o in history if o.outcome is Outcome.GRANTED}
    history = [
        operation
        for operation in history
        if session is None or sessions.get(operation.job, operation.session) == session
    ]
    history = list(dict.fromkeys([*history, *witness]))
    if not history:
        return _svg(_TOP, ['<text x="12" y="24">an empty history</text>'])
    scale = _window(history, witness)
    shown = _most_relevant([o for o in history if scale.shows(o)], witness)
    lanes = _lanes(shown, witness)
    drawn = [operation for operation in shown if operation.client in lanes]
    origin = min(operation.invoked_ns for operation in history)
    bottom = _TOP + _LOCK + _LANE * len(lanes)
    parts = [
        *_axis(scale, origin, bottom),
        *_beams(witness, scale, bottom),
        *_lock_lane(_job_windows(history, live_worker=live_worker), witness, scale),
        *_client_lanes(drawn, lanes, witness, scale),
        *_legend(len(history), len(drawn), bottom),
    ]
    return _svg(bottom + 44, parts)


def _window(history: Sequence[Operation], witness: Sequence[Operation]) -> _Scale:
    """Choose what to show: the witness with a margin, or everything without a witness."""
    focus = witness or history
    instants: list[Instant] = [operation.invoked_ns for operation in focus]
    instants += [end for end in map(returned, focus) if end < math.inf]
    start, end = min(instants), max(instants)
    last = max([end, *(e for e in map(returned, history) if e < math.inf)])
    margin = max((end - start) * _MARGIN, 1)
    if not witness:
        return _Scale(start - margin * 0.05, last + margin * 0.05)
    return _Scale(start - margin, end + margin)


def _most_relevant(
    operations: Sequence[Operation], witness: Sequence[Operation]
) -> list[Operation]:
    """Keep what a picture can hold: the witness first, changes of state before refusals."""
    marked = set(witness)

    def rank(operation: Operation) -> tuple[bool, bool]:
        return (operation not in marked, operation.outcome in (Outcome.BUSY, Outcome.PROCESSING))

    return sorted(operations, key=rank)[:_MOST_OPERATIONS]


def _lanes(operations: Iterable[Operation], witness: Sequence[Operation]) -> dict[str, int]:
    """Give each client to draw its lane: the witness first, then who changed something."""
    clients = dict.fromkeys(operation.client for operation in witness)
    clients |= dict.fromkeys(operation.client for operation in operations)
    return {client: index for index, client in enumerate(list(clients)[:_MOST_LANES])}


def _job_windows(history: Iterable[Operation], *, live_worker: bool) -> list[Window]:
    jobs: dict[str, Job] = {}
    for operation in history:
        if operation.job is not None and not _says_nothing(operation):
            jobs.setdefault(operation.job, Job(operation.job)).record(operation)
    return [hull_of(job, live_worker=live_worker) for job in jobs.values() if job.grant]


def _says_nothing(operation: Operation) -> bool:
    unknown = operation.outcome is Outcome.UNKNOWN
    return unknown and operation.operation is OperationKind.STATUS


def _lock_lane(
    windows: Sequence[Window], witness: Sequence[Operation], scale: _Scale
) -> Iterator[str]:
    named = {operation.job for operation in witness}
    top, height = _TOP + 4, _LOCK - 14
    yield f'<text x="8" y="{top + 13}">lock</text>'
    yield scale.bar(scale.start, scale.end, y=top, height=height, style="free", title="free")
    in_order = sorted(windows, key=lambda window: window.grant_until)
    nexts = [*(window.grant_until for window in in_order[1:]), math.inf]
    inside = []
    for window, next_grant in zip(in_order, nexts, strict=False):
        until = max(min(window.completed_until, next_grant), window.grant_until)
        if window.grant_from <= scale.end and until >= scale.start:
            inside.append(window)
            title = f"job {window.job.name} possibly held"
            yield scale.bar(
                window.grant_from, until, y=top, height=height, style="maybe", title=title
            )
    for window in sorted(inside, key=lambda w: w.job.name in named):
        if window.has_core:
            # Two jobs of the witness that overlap must not hide each other.
            shift = height / 2 if window.job.name in named and _is_second(window, inside) else 0
            title = f"job {window.job.name} certainly held"
            yield scale.bar(
                window.grant_until,
                window.completed_from,
                y=top + shift,
                height=height - shift,
                style="held witness" if window.job.name in named else "held",
                title=title,
            )
            x, end = scale.x(window.grant_until), scale.x(window.completed_from)
            if end - x > 60:
                style = "bad" if window.job.name in named else "note"
                name = escape(_short(window.job.name, (end - x) / 6.5))
                yield f'<text x="{x + 4}" y="{top - 5}" class="{style}">{name}</text>'


def _is_second(window: Window, others: Iterable[Window]) -> bool:
    return any(
        other.grant_until < window.grant_until < other.completed_from
        for other in others
        if other.has_core
    )


def _client_lanes(
    operations: Iterable[Operation],
    lanes: dict[str, int],
    witness: Sequence[Operation],
    scale: _Scale,
) -> Iterator[str]:
    marked = set(witness)
    for client, lane in lanes.items():
        y = _TOP + _LOCK + lane * _LANE
        yield f'<line class="rule" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>'
        yield f'<text x="8" y="{y + 14}">{escape(_short(client, 17))}</text>'
    for operation in sorted(operations, key=lambda o: o in marked):
        y = _TOP + _LOCK + lanes[operation.client] * _LANE + 4
        style = _style_of(operation) + (" witness" if operation in marked else " dim")
        yield scale.bar(
            operation.invoked_ns,
            returned(operation),
            y=y,
            height=_LANE - 8,
            style=style,
            title=_title(operation),
        )
        if operation in marked:
            x = scale.x(operation.invoked_ns)
            wide = x < WIDTH * 0.75
            anchor = "start" if wide else "end"
            at = scale.x(returned(operation)) + 5 if wide else x - 5
            yield (
                f'<text class="bad" x="{at}" y="{y + 10}" text-anchor="{anchor}">'
                f"{escape(_label(operation))}</text>"
            )


def _beams(witness: Iterable[Operation], scale: _Scale, bottom: int) -> Iterator[str]:
    for operation in witness:
        if returned(operation) < math.inf:
            end = returned(operation)
            yield scale.bar(operation.invoked_ns, end, y=_TOP, height=bottom - _TOP, style="beam")


def _axis(scale: _Scale, origin: int, bottom: int) -> Iterator[str]:
    unit, name = _unit(scale.end - scale.start)
    step = _round_step((scale.end - scale.start) / 8)
    tick = math.ceil((scale.start - origin) / step) * step
    while origin + tick <= scale.end:
        x = scale.x(origin + tick)
        yield f'<line class="rule" x1="{x}" x2="{x}" y1="20" y2="{bottom}"/>'
        label = f"{tick / unit:g} {name}"
        yield f'<text class="note" x="{x}" y="15" text-anchor="middle">{label}</text>'
        tick += step


def _legend(total: int, drawn: int, bottom: int) -> Iterator[str]:
    y = bottom + 22
    x = _LEFT
    styles = ("held", "maybe", "granted", "busy", "update", "status")
    names = ("certainly held", "possibly held", "granted", "busy or unknown", "update", "status")
    for style, name in zip(styles, names, strict=True):
        yield f'<rect class="{style}" x="{x}" y="{y - 9}" width="10" height="10"/>'
        yield f'<text x="{x + 14}" y="{y}">{name}</text>'
        x += 30 + 7 * len(name)
    shown = f"{drawn} of {total} operations" if drawn < total else f"{total} operations"
    yield f'<text class="note" x="{WIDTH - _RIGHT}" y="{y}" text-anchor="end">{shown}</text>'


def _style_of(operation: Operation) -> str:
    if operation.operation is OperationKind.PUBLISH:
        return "granted" if operation.outcome is Outcome.GRANTED else "busy"
    return str(operation.operation)


def _label(operation: Operation) -> str:
    job = f" {_short(operation.job, 12)}" if operation.job else ""
    return f"{operation.operation}{job}: {operation.outcome}"


def _title(operation: Operation) -> str:
    url = f" {operation.url}" if operation.url else ""
    job = f" {operation.job}" if operation.job else ""
    return f"{operation.client}: {operation.operation}{job}{url}: {operation.outcome}"


def _short(text: str, most: float) -> str:
    return text if len(text) <= most else text[: max(int(most) - 1, 1)] + "\N{HORIZONTAL ELLIPSIS}"


def _unit(span: Instant) -> tuple[float, str]:
    for unit, name in ((1e9, "s"), (1e6, "ms"), (1e3, "\N{MICRO SIGN}s")):
        if span >= unit:
            return unit, name
    return 1, "ns"


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return float(next(power * nice for nice in (1, 2, 5, 10) if power * nice >= step))


def _svg(height: int, parts: Iterable[str]) -> str:
    return (
        f'<svg class="tl" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'role="img" aria-label="timeline of the session"><style>{_STYLE}</style>'
        f'<rect class="paper" width="{WIDTH}" height="{height}"/>' + "".join(parts) + "</svg>"
    )

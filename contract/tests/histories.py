"""Random small histories, dense in ties, races, unknown outcomes and repeated updates."""

from dataclasses import replace
from random import Random

from onejob_contract.history import Operation, OperationKind, Outcome
from onejob_contract.model import SessionState, responses

URLS = ("https://results/a", "https://results/b", "https://results/c")


def arbitrary_history(random: Random, size: int) -> list[Operation]:
    """Any operations at all: mostly wrong, and wrong in every way."""
    sessions = ["s1"] * 3 + ["s2"] * (random.random() < 0.2)
    jobs = [f"job{i}" for i in range(random.randint(1, 4))]
    fresh = iter(jobs)
    operations = []
    for number in range(size):
        kind = random.choice(list(OperationKind))
        publish = kind is OperationKind.PUBLISH
        invoked = random.randint(0, 2 * size)
        job = random.choice(jobs)
        if publish:
            outcome = random.choice([Outcome.GRANTED, Outcome.GRANTED, Outcome.BUSY])
            if outcome is Outcome.GRANTED:
                job = next(fresh, job)
        elif kind is OperationKind.UPDATE:
            outcome = random.choice([Outcome.OK, Outcome.OK, Outcome.NOT_FOUND])
        else:
            outcome = random.choice([Outcome.PROCESSING, Outcome.COMPLETED, Outcome.NOT_FOUND])
        operation = Operation(
            session=random.choice(sessions) if publish or random.random() < 0.3 else None,
            client=f"client{number % 4}",
            operation=kind,
            job=None if outcome is Outcome.BUSY else job,
            url=random.choice(URLS[:2])
            if kind is OperationKind.UPDATE or outcome is Outcome.COMPLETED
            else None,
            invoked_ns=invoked,
            returned_ns=invoked + random.choice([0, 1, 2, 4, 8]),
            outcome=outcome,
        )
        operations.append(_forget_answer(operation) if random.random() < 0.1 else operation)
    return operations


def correct_history(
    random: Random, size: int, *, live_worker: bool = False, unknown: float = 0.1
) -> list[Operation]:
    """Follow the model at ascending instants, then blur each instant into an interval."""
    states = {name: SessionState() for name in random.choice((["s1"], ["s1"], ["s1", "s2"]))}
    owners: dict[str, str] = {}
    worker_used: set[str] = set()
    operations = []
    blur = random.choice((1, 3, 6, 10))
    spread = random.choice((1, 2, 4))
    urls = URLS[: random.choice((1, 2, 3))]
    for number in range(size):
        instant = number * spread + random.randint(0, 2)
        kind = random.choice(list(OperationKind))
        session = random.choice(list(states))
        job: str | None = f"job{len(owners)}"
        if kind is not OperationKind.PUBLISH:
            job = random.choice([*owners, "nobody"])
            session = owners.get(job, session)
        url = random.choice(urls)
        if live_worker and random.random() < 0.3:
            idle = [name for name, state in states.items() if state.holder not in worker_used]
            if idle and (done := states[idle[0]].holder) is not None:
                worker_used.add(done)
                states[idle[0]] = states[idle[0]].updated(done, random.choice(urls))
        answer = random.choice(responses(states[session], kind, job, url))
        states[session] = answer.state
        if answer.outcome is Outcome.GRANTED and job is not None:
            owners[job] = session
        elif kind is OperationKind.PUBLISH:
            job = None
        operation = Operation(
            session=session if kind is OperationKind.PUBLISH or random.random() < 0.3 else None,
            client=f"client{number % 5}",
            operation=kind,
            job=job,
            url=url if kind is OperationKind.UPDATE else answer.url,
            invoked_ns=instant - random.randint(0, blur),
            returned_ns=instant + random.randint(0, blur),
            outcome=answer.outcome,
        )
        operations.append(_forget_answer(operation) if random.random() < unknown else operation)
    return operations


def mutated(random: Random, operations: list[Operation]) -> list[Operation]:
    """Change one thing in a history: an instant, an outcome, a URL, a job, or its presence."""
    changed = list(operations)
    index = random.randrange(len(changed))
    victim = changed[index]
    match random.randrange(6):
        case 0:
            del changed[index]
        case 1:
            shift = random.randint(-8, 8)
            end = victim.returned_ns
            changed[index] = replace(
                victim,
                invoked_ns=victim.invoked_ns + shift,
                returned_ns=None if end is None else end + shift,
            )
        case 2 if victim.returned_ns is not None:
            changed[index] = replace(victim, invoked_ns=victim.returned_ns)
        case 3 if victim.outcome in (Outcome.OK, Outcome.NOT_FOUND, Outcome.PROCESSING):
            swap = Outcome.OK if victim.operation is OperationKind.UPDATE else Outcome.NOT_FOUND
            changed[index] = replace(victim, outcome=swap)
        case 4 if victim.url is not None:
            changed[index] = replace(victim, url=random.choice(URLS))
        case _ if victim.outcome is Outcome.GRANTED:
            changed[index] = replace(victim, job=None, outcome=Outcome.BUSY)
        case _ if victim.outcome is Outcome.BUSY:
            changed[index] = replace(victim, job=f"new{index}", outcome=Outcome.GRANTED)
        case _:
            changed[index] = replace(victim, client="somebody")
    return changed


def random_history(random: Random, *, live_worker: bool) -> list[Operation]:
    """A history that a correct server could give, one that is nearly so, or anything."""
    size = random.randint(2, 11)
    kind = random.random()
    if kind < 0.2:
        return arbitrary_history(random, min(size, 7))
    history = correct_history(
        random, size, live_worker=live_worker, unknown=random.choice((0.0, 0.1, 0.3))
    )
    for _ in range(random.choice((0, 1, 1, 2))):
        history = mutated(random, history) if history else history
    return without_too_many_unknown_publishes(history)


def without_too_many_unknown_publishes(history: list[Operation]) -> list[Operation]:
    """Keep three at most: the oracle's effort is exponential in them."""
    untold = [
        operation
        for operation in history
        if operation.operation is OperationKind.PUBLISH and operation.outcome is Outcome.UNKNOWN
    ]
    surplus = {id(operation) for operation in untold[3:]}
    return [operation for operation in history if id(operation) not in surplus]


def _forget_answer(operation: Operation) -> Operation:
    """The client gave up waiting: what happened is unknown."""
    publish = operation.operation is OperationKind.PUBLISH
    return replace(
        operation,
        job=None if publish else operation.job,
        url=operation.url if operation.operation is OperationKind.UPDATE else None,
        returned_ns=None,
        outcome=Outcome.UNKNOWN,
    )

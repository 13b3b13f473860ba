"""The reference implementation of the API: one active job per session, kept when processes die.

HTTP (`api`) -> rules (`jobs`) -> ports: session lock (`locks`), job table (`store`),
uploads (`uploads`), dispatch (`dispatch`). The worker side starts at `worker`.
"""

"""The observer of a run: a process of its own, so that judging never delays a request's stamp.

batches of the generators -> history -> judge (did the lock hold?)
                                     -> contention (how was it shared?) -> snapshot
"""

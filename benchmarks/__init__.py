"""Measurements of the engine and of the whole path, each one command, each beside its peers.

Problem: a figure without its neighbour on the same cores, or of a run that lost records, says
nothing. How: every benchmark starts its own broker, runs the contenders in interleaved rounds,
measures each from outside in the same way, reads everything back `read_committed`, and takes no
figure from a run that is not right to the byte.

`engine` is the stream engine on workload W, `path` the real topology with its real contracts,
`latency` the same under an open-loop load, `recovery` the way back after a loss.
"""

"""The cost of the service, next to that of what it is built on: `make bench`.

Each figure is compared with a peer that is measured in the same run, in turns, on the same data,
and whose results must be equal. Nothing here is a test: a ratio depends on the machine and on what
else runs there.
"""

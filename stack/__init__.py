"""One machine, one command: environments, processes, readiness and the status view behind `make run` and its relatives.

`plan` decides what runs (source, ports, settings), `parts` which programs that means, `supervision` keeps them alive,
`startup` and `shutdown` move between down and up, `status` looks at it all. Nothing here knows how data flows; the
figures come from `include.warehouse`.
"""

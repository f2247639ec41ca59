"""`tritonbn bench`: compare the speed of `LocalBN` with what a user could use instead.

`cases` lists the inputs, and `peers` and `segment_peers` the layers that are compared on them.
`passes` says what is timed; `clock` and `cuda_graphs` do it, on a CPU and on a GPU, and `measure`
chooses between them. `growth` and `networks` are further measurements. `contention` keeps a core
busy, and `kernels` compiles the Triton kernels beforehand. `machine` and `record` describe and
store what was measured, `report` prints it, and `command` does all of it in order.
"""

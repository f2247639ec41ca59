"""Compile the kernels on a machine without a GPU, and report what they need.

`compiler` compiles for a GPU that is not present, `cases` lists every kernel in every shipped
configuration, and `usage` makes the table of registers and memory (`tritonbn kernels`).
"""

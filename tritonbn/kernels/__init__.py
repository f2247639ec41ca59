"""The Triton backend: the kernels, their launch, and their tuning.

Forward and backward have three stages each. `columns` reduces the rows to statistics per column,
`merge` merges columns to segments, and `apply` applies the result to all rows. `one_pass` does all
three in one kernel if the values of a segment fit on the chip. `addressing` and `arithmetic` are
shared by all kernels.

`launch` decides which kernels run; `stages`, `merging` and `fused` launch them. `configs` lists
their configurations and `tuning` chooses among them. `offline` compiles all kernels on a machine
without a GPU. `lstm` and `lstm_launch` are the pointwise part of the ConvLSTM.
"""

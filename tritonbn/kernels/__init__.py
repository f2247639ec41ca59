"""The Triton path: kernels, their launch, and their tuning.

Forward and backward have three stages each, a file each: `columns` reduces rows to columns,
`merge` columns to segments, `apply` applies the result to all rows; `one_pass` does all three
where a segment fits on the chip. `addressing` and `arithmetic` hold what they share. `launch` says
which kernels run, and `stages`, `merging` and `fused` launch them; `configs` lists their
configurations, `tuning` chooses among them, `shipped` and `compiled` compile all of them where
there is no GPU.
"""

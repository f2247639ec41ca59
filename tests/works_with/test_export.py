"""Tracing, compiling and exporting layers that have not been called before."""

import pytest
import torch
from torch import nn
from works_with.layers import CHANNELS, CLOSE, GRID, Published, hold_to

from tritonbn import LocalBN, Segments


def fresh(make, training=False, **options):
    """Return a small model with a layer whose state was just loaded."""
    layer = make(**options)
    layer.load_state_dict(make(**options).state_dict())
    return nn.Sequential(layer, nn.ReLU(inplace=True)).train(training)


def expected(make, training=False, **options):
    layer = make(**options).train(training)
    return nn.Sequential(Published(layer), nn.ReLU())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("strict", [True, False])
def test_export(strict, training, make, x):
    program = torch.export.export(fresh(make, training), (x,), strict=strict)
    torch.testing.assert_close(program.module()(x), expected(make, training)(x), **CLOSE)
    if not training:
        assert "tritonbn" not in str(program.graph)


def test_an_exported_layer_keeps_digits_where_the_mean_is_large(segments):
    norm = LocalBN(CHANNELS, segments).eval()
    norm.running_mean.fill_(1e4)
    x = torch.randn(4, CHANNELS, *GRID, generator=torch.Generator().manual_seed(0)) + 1e4
    exported = torch.export.export(norm, (x,)).module()
    torch.testing.assert_close(exported(x), (x.double() - 1e4).float(), rtol=2e-5, atol=1e-6)


def test_export_of_any_batch_size(make, x):
    program = torch.export.export(
        fresh(make), (x,), dynamic_shapes=({0: torch.export.Dim("batch")},)
    )
    for count in (2, 4):
        torch.testing.assert_close(program.module()(x[:count]), expected(make)(x[:count]), **CLOSE)


@pytest.mark.parametrize("training", [True, False])
def test_compile(training, make, x):
    compiled = torch.compile(fresh(make, training), fullgraph=True, backend="aot_eager")
    hold_to(expected(make, training), compiled, x)


@pytest.mark.parametrize("training", [True, False])
def test_a_batch_of_one(training, backend, device, x):
    segments = Segments([[0, 0, 1], [0, 1, 1]])  # three values of each
    layer = LocalBN(CHANNELS, segments, backend=backend, device=device).train(training)
    reference = Published(layer)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for count in (4, 1):  # the last batch of an epoch may be smaller
        hold_to(reference, compiled, x[:count])
    program = torch.export.export(layer, (x[:1],))
    torch.testing.assert_close(program.module()(x[:1]), reference(x[:1]), **CLOSE)


def test_a_single_value_is_refused_in_a_compiled_model(x):
    layer = torch.compile(LocalBN(CHANNELS, Segments.per_cell(GRID)), backend="aot_eager")
    with pytest.raises(ValueError, match="segment 0 has a single value per channel"):
        layer(x[:1])


@pytest.fixture
def small(segments, cxx_compiler):
    """Return a layer for tests that compile C++; they are slow, so there is one backend only."""
    return lambda **options: LocalBN(CHANNELS, segments, **options)


@pytest.mark.slow
def test_inductor(small):
    x = torch.randn(4, CHANNELS, *GRID, generator=torch.Generator().manual_seed(0))
    hold_to(expected(small, True), torch.compile(fresh(small, True), fullgraph=True), x)


@pytest.mark.slow
def test_aot_inductor(small, tmp_path):
    x = torch.randn(4, CHANNELS, *GRID, generator=torch.Generator().manual_seed(0))
    path = str(tmp_path / "model.pt2")
    program = torch.export.export(fresh(small), (x,))
    torch._inductor.aoti_compile_and_package(program, package_path=path)
    loaded = torch._inductor.aoti_load_package(path)
    torch.testing.assert_close(loaded(x), expected(small)(x), **CLOSE)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("training", [True, False])
def test_jit_trace(training, make, x):
    traced = torch.jit.trace(fresh(make, training), x, check_trace=False)
    hold_to(expected(make, training), traced, x)


def test_a_trace_is_saved_and_loaded(make, x, tmp_path):
    torch.jit.trace(fresh(make), x).save(tmp_path / "model.pt")
    loaded = torch.jit.load(tmp_path / "model.pt")
    torch.testing.assert_close(loaded(x[:2]), expected(make)(x[:2]), **CLOSE)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("dynamo", [pytest.param(True, marks=pytest.mark.slow), False])
@pytest.mark.parametrize("activation", [None, "silu"])
def test_onnx(activation, dynamo, make, x, tmp_path):
    onnx_reference = pytest.importorskip("onnx.reference", reason="onnx is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    path = str(tmp_path / "model.onnx")
    model = fresh(make, activation=activation)
    torch.onnx.export(model, (x,), path, dynamo=dynamo, verbose=False)
    runner = onnx_reference.ReferenceEvaluator(path)
    (result,) = runner.run(None, {runner.input_names[0]: x.cpu().numpy()})
    wanted = expected(make)[0](x)
    if activation is not None:
        wanted = getattr(nn.functional, activation)(wanted)
    torch.testing.assert_close(torch.from_numpy(result), wanted.relu().cpu(), **CLOSE)


def test_onnx_of_cells_in_no_segment(tmp_path):
    onnx_reference = pytest.importorskip("onnx.reference", reason="onnx is not installed")
    layer = LocalBN(CHANNELS, Segments.stations([1, 4], GRID, rest="identity")).eval()
    layer.running_mean.fill_(0.5)
    x = torch.randn(3, CHANNELS, *GRID, generator=torch.Generator().manual_seed(0))
    path = str(tmp_path / "model.onnx")
    torch.onnx.export(layer, (x,), path, dynamo=False)
    runner = onnx_reference.ReferenceEvaluator(path)
    (result,) = runner.run(None, {runner.input_names[0]: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(result), layer(x))


def test_fx_takes_the_layer_as_one_step(make, x):
    model = nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 1, device=x.device), make())
    graph = torch.fx.symbolic_trace(model)
    assert len(graph.graph.nodes) <= 5
    hold_to(nn.Sequential(model[0], Published(model[1])), graph, x)


def test_script_says_what_works_instead(make):
    with pytest.raises(TypeError, match=r"torch.jit.script; torch.jit.trace and torch.export work"):
        torch.jit.script(nn.Sequential(make()))

import pytest

from tritonbn.experiment.config import ARM_NAMES, NETWORKS, PRESETS, RunConfig, refusal


def test_name_tells_what_differs_between_the_runs_of_an_experiment():
    assert RunConfig("convlstm", "local", "paper").name == "convlstm-dense-local-paper-0"
    assert RunConfig("cnn", "none", "masked", seed=3).name == "cnn-dense-none-masked-3"


def test_published_sizes_are_the_default_and_the_paper_preset():
    default = RunConfig("cnn", "none", "paper")
    preset = RunConfig("cnn", "none", "paper", **PRESETS["paper"])
    for config in (default, preset):
        assert (config.steps, config.batch_size, config.validate_every) == (1200, 128, 20)
        assert (config.learning_rate, config.timesteps, config.test_times) == (1e-3, 1, None)


def test_quick_preset_is_a_valid_configuration():
    assert RunConfig("convlstm", "local", "masked", **PRESETS["quick"]).steps < 1200


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"model": "lstm"}, r"model must be one of .*, got 'lstm'"),
        ({"norm": "batch"}, "norm must be one of .*, got 'batch'"),
        ({"protocol": "open"}, "protocol must be one of .*, got 'open'"),
        ({"batch_size": 1}, "batch_size must be at least 2, got 1"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"test_times": 0}, "test_times must be at least 1, got 0"),
        ({"learning_rate": 0.0}, r"learning_rate must be positive, got 0\.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive, got nan"),
    ],
)
def test_wrong_values_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        RunConfig(**{"model": "cnn", "norm": "none", "protocol": "paper"} | wrong)


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        (("wide-cnn", "local", "paper"), "learns from hidden stations; paper hides none"),
        (("wide-cnn-no-context", "none", "unseen"), "no network of unseen has the whole grid"),
        (("wide-cnn-no-symmetry", "none", "masked"), "no network of masked has all ways"),
        (("wide-convlstm", "local-after", "masked"), "local-after is for the CNN, not for wide-co"),
        (("convlstm", "embedding", "masked"), "embedding is for the CNN, not for convlstm"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_the_reason(arm, message):
    model, norm, protocol = arm
    with pytest.raises(ValueError, match=message):
        RunConfig(model, norm, protocol)


def test_without_a_window_a_network_sees_one_time():
    for protocol in ("masked", "unseen"):
        RunConfig("wide-cnn-no-window", "none", protocol)
    with pytest.raises(ValueError, match="wide-cnn-no-window sees one time, got timesteps 3"):
        RunConfig("wide-cnn-no-window", "none", "masked", timesteps=3)


def test_every_arm_can_be_trained_under_some_protocol():
    for network, norm in ARM_NAMES.values():
        assert not all(
            refusal(network, norm, protocol) for protocol in ("paper", "masked", "unseen")
        )


def test_the_head_of_the_figure_is_the_default_and_names_tell_heads_and_scalings_apart():
    assert RunConfig("cnn", "none", "paper").head == "dense"
    assert RunConfig("wide-cnn", "none", "masked").head == "convolution"
    configs = {
        RunConfig("cnn", "none", "paper", head=head, scaling=scaling)
        for head in ("dense", "convolution")
        for scaling in ("maximum", "percentile")
    }
    assert len({config.name for config in configs}) == 4
    assert all(config.network in NETWORKS for config in configs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"model": "wide-cnn", "protocol": "masked", "head": "dense"},
            "wide-cnn has no dense head",
        ),
        ({"model": "cnn-lstm", "head": "convolution"}, "cnn-lstm has no convolution head"),
        ({"model": "cnn-lstm"}, "cnn-lstm needs timesteps of 2 or more, got 1"),
        ({"hidden": 0}, "hidden must be at least 1, got 0"),
        ({"dropout": 1.0}, r"dropout must be from 0 to below 1, got 1\.0"),
        ({"head": "linear"}, "head must be one of dense, convolution, got 'linear'"),
        ({"scaling": "mean"}, "scaling must be one of maximum, percentile, all, got 'mean'"),
        ({"parts": "8:2:2"}, "parts must be one of 6:2:2, 161:26:46, got '8:2:2'"),
        ({"head": "convolution", "norm": "scaled"}, "scaled needs an output that is not bounded"),
    ],
)
def test_heads_and_parts_that_do_not_exist_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        RunConfig(**{"model": "cnn", "norm": "none", "protocol": "paper"} | options)


def test_the_paper_preset_has_the_published_parts_and_scaling():
    config = RunConfig("cnn", "none", "paper", **PRESETS["paper"])
    assert (config.parts, config.scaling, config.patience) == ("161:26:46", "all", None)

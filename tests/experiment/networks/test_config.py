import pytest

from tritonbn.experiment.networks.config import ConfigError, RunConfig
from tritonbn.experiment.networks.presets import PRESETS

RESIDUAL = {"design": "residual", "head": "convolution", "protocol": "masked"}


def test_name_tells_what_differs_between_the_runs_of_an_experiment():
    assert RunConfig("convlstm", "local", "paper").name == "convlstm-dense-local-paper-0"
    assert RunConfig("cnn", "none", "masked", seed=3).name == "cnn-dense-none-masked-3"


def test_published_sizes_are_the_default_and_the_paper_preset():
    for config in (RunConfig("cnn", "none", "paper"), RunConfig.preset("paper", "cnn", "none")):
        assert (config.steps, config.batch_size, config.validate_every) == (1200, 128, 20)
        assert (config.learning_rate, config.timesteps, config.test_times) == (1e-3, 1, None)


def test_the_paper_preset_has_the_published_parts_and_scaling():
    config = RunConfig.preset("paper", "cnn", "none")
    assert (config.parts, config.scaling, config.patience) == ("161:26:46", "all", None)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_takes_the_settings_that_differ(preset):
    config = RunConfig.preset(preset, "cnn", steps=7, hidden=5, scaling="percentile")
    assert (config.steps, config.hidden, config.scaling) == (7, 5, "percentile")
    plain = RunConfig.preset(preset, "cnn")
    assert (plain.batch_size, plain.parts) == (config.batch_size, config.parts)


def test_the_defaults_of_a_design_are_its_head_and_protocol():
    published = RunConfig.preset("quick", "cnn")
    assert (published.norm, published.head, published.protocol) == ("local", "dense", "paper")
    residual = RunConfig.preset("quick", "cnn", design="residual")
    assert (residual.head, residual.protocol) == ("convolution", "masked")


@pytest.mark.parametrize("preset", PRESETS)
def test_residual_networks_have_the_same_training_at_every_preset(preset):
    masked = RunConfig.preset(preset, "cnn", design="residual")
    unseen = RunConfig.preset(preset, "cnn", protocol="unseen", design="residual")
    assert (masked.steps, masked.batch_size, masked.timesteps) == (700, 96, 3)
    assert (unseen.steps, unseen.batch_size, unseen.timesteps) == (300, 32, 3)
    alone = RunConfig.preset(preset, "cnn", design="residual", without=["window"])
    assert alone.timesteps == 1


def test_only_the_convolution_head_is_stopped_early():
    assert RunConfig.preset("quick", "cnn").patience is None
    assert RunConfig.preset("quick", "cnn", head="convolution").patience == 10


def test_what_reads_sequences_sees_twelve_times():
    assert RunConfig.preset("quick", "cnn-lstm").timesteps == 12
    assert RunConfig.preset("quick", "convlstm", "recurrent").timesteps == 12
    assert RunConfig.preset("quick", "convlstm", "local").timesteps == 1
    residual = RunConfig.preset("quick", "convlstm", "recurrent", design="residual")
    assert residual.timesteps == 3


def test_a_setting_that_does_not_exist_is_refused():
    with pytest.raises(TypeError, match=r"settings must be among backbone, .*; got step"):
        RunConfig.preset("quick", "cnn", step=3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"backbone": "lstm"}, r"backbone must be one of .*, got 'lstm'"),
        ({"design": "wide"}, r"design must be one of published, residual, got 'wide'"),
        ({"norm": "batch"}, "norm must be one of .*, got 'batch'"),
        ({"protocol": "open"}, "protocol must be one of .*, got 'open'"),
        ({"batch_size": 1}, "batch_size must be at least 2, got 1"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"fold": 1}, "fold must be below 1 for protocol paper, got 1"),
        ({"protocol": "unseen", "fold": 5}, "fold must be below 5 for protocol unseen, got 5"),
        ({"test_times": 0}, "test_times must be at least 1, got 0"),
        ({"steps": 10.0}, r"steps must be an integer, got 10\.0"),
        ({"steps": "10"}, "steps must be an integer, got '10'"),
        ({"batch_size": True}, "batch_size must be an integer, got True"),
        ({"timesteps": None}, "timesteps must be an integer, got None"),
        ({"test_times": 50.0}, r"test_times must be an integer, got 50\.0"),
        ({"dropout": "0.5"}, "dropout must be a number, got '0.5'"),
        ({"pooling": None}, "pooling must be a number, got None"),
        ({"learning_rate": 0.0}, r"learning_rate must be positive and finite, got 0\.0"),
        ({"pooling": -1.0}, r"pooling must be at least 0, got -1\.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive and finite, got nan"),
        ({"hidden": 0}, "hidden must be at least 1, got 0"),
        ({"dropout": 1.0}, r"dropout must be at least 0 and below 1, got 1\.0"),
        ({"head": "linear"}, "networks have the head dense or convolution, not linear"),
        ({"scaling": "mean"}, "scaling must be one of maximum, percentile, all, got 'mean'"),
        (
            {"parts": "8:2:2"},
            "parts must be one of 6:2:2, 3:3:2:2, 9:3:4:4, 161:26:46, got '8:2:2'",
        ),
        ({"seed": 2**64}, r"seed must be below 2\*\*64, got 18446744073709551616"),
        ({**RESIDUAL, "without": ["luck"]}, "without must be one of .*, got 'luck'"),
        (
            {**RESIDUAL, "without": "idw"},
            "without must be a sequence of names, got the text 'idw'",
        ),
    ],
)
def test_wrong_values_are_named(wrong, message):
    with pytest.raises(ConfigError, match=message):
        RunConfig(**{"backbone": "cnn", "norm": "none", "protocol": "paper"} | wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (RESIDUAL | {"protocol": "paper"}, "protocol paper hides none"),
        (
            RESIDUAL | {"protocol": "unseen", "without": ["context"]},
            "networks under protocol unseen do not use context, so it cannot be left out",
        ),
        (
            RESIDUAL | {"without": ["symmetry"]},
            "networks under protocol masked do not use symmetry, so it cannot be left out",
        ),
        (RESIDUAL | {"head": "dense"}, "residual networks have the head convolution, not dense"),
        (RESIDUAL | {"backbone": "cnn-lstm"}, "there is no residual CNN-LSTM"),
        (RESIDUAL | {"scaling": "percentile"}, "residual networks standardize each sample"),
        ({"without": ["idw"]}, "without needs the design residual, got published"),
        (
            {"backbone": "convlstm", "norm": "local-after"},
            "norm local-after is for cnn and cnn-lstm, not for convlstm",
        ),
        (
            {"backbone": "convlstm", "norm": "embedding"},
            "norm embedding is for cnn and cnn-lstm, not for convlstm",
        ),
        ({"norm": "recurrent"}, "norm recurrent is for convlstm, not for cnn"),
        (
            RESIDUAL
            | {"backbone": "convlstm", "norm": "recurrent", "protocol": "unseen"}
            | {"without": ["symmetry"]},
            "norm recurrent does not use symmetry, so symmetry cannot be left out",
        ),
        (
            RESIDUAL | {"backbone": "convlstm", "norm": "recurrent", "without": ["window"]},
            "norm recurrent sees several times, so window cannot be left out",
        ),
        ({"backbone": "cnn-lstm", "head": "convolution"}, r"there is no CNN-LSTM \(convolution\)"),
        ({"backbone": "cnn-lstm"}, "cnn-lstm needs timesteps of 2 or more, got 1"),
        (
            {"backbone": "convlstm", "norm": "recurrent"},
            "norm recurrent needs timesteps of 2 or more, got 1",
        ),
        ({"head": "convolution", "norm": "scaled"}, "norm scaled needs an unbounded output"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_the_reason(options, message):
    with pytest.raises(ConfigError, match=message):
        RunConfig(**{"backbone": "cnn", "norm": "none", "protocol": "paper"} | options)


def test_what_a_network_is_without_has_one_order_and_no_name_twice():
    configs = [
        RunConfig("cnn", "none", **RESIDUAL, without=without)
        for without in (["idw", "hour"], ("hour", "idw"), ("hour", "idw", "hour"))
    ]
    assert {config.name for config in configs} == {"cnn-residual-without-idw+hour-none-masked-0"}
    assert len({*configs}) == 1


def test_a_preset_takes_no_text_for_a_sequence_of_names():
    with pytest.raises(ConfigError, match="a sequence of names, got the text 'window'"):
        RunConfig.preset("quick", "cnn", design="residual", without="window")


def test_without_a_window_a_network_sees_one_time():
    options = RESIDUAL | {"backbone": "cnn", "norm": "none", "without": ["window"]}
    for protocol in ("masked", "unseen"):
        RunConfig(**options | {"protocol": protocol})
    with pytest.raises(ConfigError, match="without the window sees one time, got timesteps 3"):
        RunConfig(**options, timesteps=3)


def test_the_scaling_follows_the_parts_unless_it_is_given():
    assert RunConfig.preset("paper", "cnn", parts="6:2:2").scaling == "maximum"
    assert RunConfig.preset("quick", "cnn", parts="161:26:46").scaling == "all"
    assert RunConfig.preset("paper", "cnn", parts="6:2:2", scaling="all").scaling == "all"
    residual = RunConfig.preset("quick", "cnn", design="residual", parts="161:26:46")
    assert residual.network.scaling is None


def test_an_infinite_learning_rate_is_refused():
    with pytest.raises(ConfigError, match="learning_rate must be positive and finite, got inf"):
        RunConfig.preset("quick", "cnn", learning_rate=float("inf"))

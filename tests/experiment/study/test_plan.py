from typing import Any

import pytest

from tritonbn.experiment.baselines import BASELINES
from tritonbn.experiment.networks.config import ConfigError
from tritonbn.experiment.networks.network import BACKBONES, DESIGNS, HEADS, OPTIONS
from tritonbn.experiment.networks.norms import NORMS
from tritonbn.experiment.networks.scaling import SCALINGS
from tritonbn.experiment.study.plan import Plan
from tritonbn.experiment.task.protocol import PROTOCOLS


def plan_of(**choices: Any) -> Plan:
    """A plan of one network without baselines, except for the choices given."""
    one = {
        "backbones": ["cnn"],
        "designs": ["published"],
        "heads": ["dense"],
        "norms": ["local"],
        "protocols": ["masked"],
        "baselines": [],
    }
    return Plan(**{**one, **choices})


def runs_of(plan: Plan) -> list[tuple[str, str, str, int]]:
    return [(network.name, *rest) for network, *rest in plan.runs()]


def test_all_combinations_are_made_protocol_by_protocol_and_seed_by_seed() -> None:
    plan = plan_of(
        backbones=["convlstm", "cnn"],
        designs=["published", "residual"],
        norms=["none", "local"],
        protocols=["masked", "unseen"],
        seeds=2,
    )
    networks = ["convlstm-dense", "cnn-dense", "convlstm-residual", "cnn-residual"]
    assert runs_of(plan) == [
        (network, norm, protocol, seed)
        for protocol in ("masked", "unseen")
        for seed in (0, 1)
        for network in networks
        for norm in ("none", "local")
    ]


def test_combinations_that_make_no_sense_are_left_out() -> None:
    plan = plan_of(designs=["published", "residual"], protocols=["paper", "masked"])
    assert runs_of(plan) == [
        ("cnn-dense", "local", "paper", 0),
        ("cnn-dense", "local", "masked", 0),
        ("cnn-residual", "local", "masked", 0),
    ]
    plan = plan_of(backbones=["convlstm", "cnn"], norms=["local", "local-after"])
    assert [run[:2] for run in runs_of(plan)] == [
        ("convlstm-dense", "local"),
        ("cnn-dense", "local"),
        ("cnn-dense", "local-after"),
    ]


def test_heads_and_scalings_are_for_published_networks() -> None:
    plan = plan_of(
        designs=["published", "residual"], heads=HEADS, scalings=["maximum", "percentile"]
    )
    assert [network.name for network in plan.networks] == [
        "cnn-dense-maximum",
        "cnn-dense-percentile",
        "cnn-convolution-maximum",
        "cnn-convolution-percentile",
        "cnn-residual",
    ]


def test_the_dense_head_is_the_default_and_residual_networks_need_none() -> None:
    plan = plan_of(designs=["published", "residual"], heads=None)
    assert [network.name for network in plan.networks] == ["cnn-dense", "cnn-residual"]
    alone = plan_of(designs=["residual"], heads=None)
    assert [network.name for network in alone.networks] == ["cnn-residual"]


def test_options_are_left_out_one_at_a_time() -> None:
    plan = plan_of(
        designs=["published", "residual"],
        protocols=["masked", "unseen"],
        without=["idw", "context"],
    )
    assert runs_of(plan) == [
        ("cnn-dense", "local", "masked", 0),
        ("cnn-residual", "local", "masked", 0),
        ("cnn-residual-without-idw", "local", "masked", 0),
        ("cnn-residual-without-context", "local", "masked", 0),
        ("cnn-dense", "local", "unseen", 0),
        ("cnn-residual", "local", "unseen", 0),
        ("cnn-residual-without-idw", "local", "unseen", 0),
    ]


def test_what_is_named_twice_is_made_once() -> None:
    twice = plan_of(
        backbones=["cnn", "cnn"], norms=["local", "local"], protocols=["masked", "masked"]
    )
    assert runs_of(twice) == runs_of(plan_of())
    one = plan_of(scalings=[None, "maximum"]).configs("quick", {})
    assert one == plan_of().configs("quick", {})


def test_no_heads_and_no_scalings_are_the_usual_ones() -> None:
    assert runs_of(plan_of(heads=[], scalings=[])) == runs_of(plan_of())


def test_each_protocol_has_the_baselines_that_it_allows() -> None:
    by_protocol = plan_of(protocols=["unseen", "masked"], baselines=None).baselines_by_protocol()
    fitted_to_the_station = {name for name, kind in BASELINES.items() if kind.knows_station}
    assert "ridge" in fitted_to_the_station
    assert by_protocol == [
        *((name, "unseen") for name in BASELINES if name not in fitted_to_the_station),
        *((name, "masked") for name in BASELINES),
    ]
    chosen = plan_of(protocols=["unseen", "masked"], baselines=["ridge", "idw"])
    assert chosen.baselines_by_protocol() == [
        ("idw", "unseen"),
        ("idw", "masked"),
        ("ridge", "masked"),
    ]


@pytest.mark.parametrize(
    ("argument", "known"),
    [
        ("backbones", BACKBONES),
        ("designs", DESIGNS),
        ("heads", HEADS),
        ("norms", NORMS),
        ("protocols", PROTOCOLS),
        ("scalings", SCALINGS),
        ("without", OPTIONS),
        ("baselines", BASELINES),
    ],
)
def test_an_unknown_name_and_a_text_are_refused(argument: str, known: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_of(**{argument: [*known, "magic", "wild"]})
    assert str(caught.value) == f"{argument} must be among {', '.join(known)}; got magic, wild"
    with pytest.raises(ConfigError) as caught:
        plan_of(**{argument: "magic"})
    assert str(caught.value) == f"{argument} must be a sequence of names, got the text 'magic'"


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (
            {"designs": ["published", "residual"], "protocols": ["paper"]},
            "no run under protocol paper uses designs 'residual': residual networks learn from "
            "hidden stations; protocol paper hides none",
        ),
        (
            {"backbones": ["convlstm"], "norms": ["none", "local-after"]},
            "no run under protocol masked uses norms 'local-after': norm local-after is for cnn "
            "and cnn-lstm, not for convlstm",
        ),
        (
            {
                "designs": ["residual"],
                "heads": None,
                "protocols": ["unseen"],
                "without": ["context"],
            },
            "no run under protocol unseen uses without 'context': networks under protocol unseen "
            "do not use context, so it cannot be left out",
        ),
        (
            {"designs": ["residual"], "heads": None, "protocols": ["paper"]},
            "no run under protocol paper uses designs 'residual': residual networks learn from "
            "hidden stations; protocol paper hides none",
        ),
        (
            {"without": ["idw"]},
            "no run under protocol masked uses without 'idw': that needs designs residual",
        ),
        (
            {"designs": ["residual"]},
            "no run under protocol masked uses heads 'dense': that needs designs published",
        ),
        (
            {"heads": ["dense", "convolution"], "norms": ["scaled"]},
            "no run under protocol masked uses heads 'convolution': norm scaled needs an unbounded "
            "output, which the convolution head does not have",
        ),
        (
            {"designs": ["residual"], "heads": None, "scalings": [None, "percentile"]},
            "no run under protocol masked uses scalings 'percentile': that needs designs published",
        ),
        (
            {"backbones": ["cnn", "cnn-lstm"], "heads": ["convolution"]},
            "no run under protocol masked uses backbones 'cnn-lstm': there is no CNN-LSTM "
            "(convolution); choose another design or head for cnn-lstm",
        ),
        (
            {"protocols": ["unseen"], "baselines": ["ridge", "idw", "mean-own"]},
            "baselines ridge, mean-own are fitted to the estimated station, which protocol unseen "
            "holds out",
        ),
        (
            {"backbones": [], "baselines": []},
            "there is nothing to compare: no network and no baseline is chosen",
        ),
        ({"protocols": []}, "protocols must name at least one protocol"),
        ({"seeds": 0}, "seeds must be at least 1, got 0"),
        ({"seeds": 2.0}, "seeds must be an integer, got 2.0"),
    ],
)
def test_a_choice_that_takes_part_in_no_run_is_refused(
    choices: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_of(**choices)
    assert str(caught.value) == message


def test_a_norm_without_its_library_is_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tritonbn.experiment.networks.combinations.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="uses norms 'pooled-clusters': norm pooled-clusters nee"):
        plan_of(norms=["pooled-clusters"])


def test_a_missing_library_is_named_before_any_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tritonbn.experiment.study.plan.find_spec", lambda name: None)
    message = r"the baselines need gstools, sklearn: pip install 'tritonbn\[baselines\]'"
    for baselines in (["kriging", "ridge"], None):
        with pytest.raises(ConfigError, match=message):
            plan_of(baselines=baselines)
    assert plan_of(baselines=["idw", "nearest"]).baselines_by_protocol()

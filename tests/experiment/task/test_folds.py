from dataclasses import replace

import numpy as np
import pytest

from data_prep.city import DataError
from tritonbn.experiment.task.folds import Fold, fold_numbers
from tritonbn.experiment.task.protocol import PROTOCOLS


def numbers(protocol):
    return range(5 if protocol == "unseen" else 1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_reading_that_others_can_inform_of_is_scored_once(make_city, protocol):
    city = make_city(stations=7, missing=0.6)
    back = 1 if protocol == "paper" else 0
    pairs = []
    for number in numbers(protocol):
        fold = Fold(city, protocol, number)
        times, stations = fold.scored("test", fold.tested)
        pairs += zip(times.tolist(), stations.tolist(), strict=True)
        for time, station in zip(times, stations, strict=True):
            seen = city.observed[time - back] & ~fold.held_out
            seen[station] = False
            assert city.observed[time, station]
            assert seen.any()
    assert len(set(pairs)) == len(pairs)
    if protocol != "unseen":
        expected = [
            (time, s)
            for time in range(264, 300)
            for s in range(7)
            if city.observed[time, s] and np.delete(city.observed[time - back], s).any()
        ]
        assert pairs == expected
        assert len(expected) < city.observed[264:].sum()


@pytest.mark.parametrize("readings", [1, 2])
def test_a_station_that_training_does_not_know_is_scored_where_it_is_held_out_only(
    make_city, readings
):
    city = make_city(stations=7, missing=0.0)
    values = city.values.copy()
    values[: 180 - readings, 3] = np.nan
    city = replace(city, values=values)
    for protocol in ("paper", "masked"):
        fold = Fold(city, protocol)
        assert (fold.tested == fold.learned).all()
        for part in ("validation", "test"):
            stations = set(fold.scored(part, fold.tested)[1])
            assert stations == ({*range(7)} if readings == 2 else {*range(7)} - {3})
    folds = [Fold(city, "unseen", number) for number in range(5)]
    for part in ("validation", "test"):
        estimated = [set(fold.scored(part, fold.tested)[1]) for fold in folds]
        assert set.union(*estimated) == {*range(7)}
    learned = [fold.learned[3] for fold in folds]
    assert sum(learned) == (4 if readings == 2 else 0)


def test_the_folds_of_unseen_part_the_stations(make_city):
    city = make_city(stations=7)
    held_out = [Fold(city, "unseen", number).held_out for number in range(5)]
    assert np.sum(held_out, axis=0).tolist() == [1] * 7
    assert {int(a.sum()) for a in held_out} == {1, 2}
    for station in range(7):
        assert held_out[fold_numbers(7, 5)[station]][station]


def test_held_out_stations_are_tested_and_not_learned_from(make_city):
    city = make_city(stations=7)
    for number in range(5):
        fold = Fold(city, "unseen", number)
        for part in ("validation", "test"):
            for asked, expected in ((fold.learned, ~fold.held_out), (fold.tested, fold.held_out)):
                assert set(fold.scored(part, asked)[1]) == set(np.flatnonzero(expected))
        kept = city.stations["station"][~fold.held_out].to_list()
        assert fold.windows.city.stations["station"].to_list() == kept


def test_the_estimated_station_is_hidden(make_city):
    city = make_city(stations=7)
    known = Fold(city, "masked").hidden(np.array([0, 4]))
    assert known.astype(int).tolist() == [[1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0, 0]]
    fold = Fold(city, "unseen", 2)
    assert not fold.hidden(np.flatnonzero(fold.held_out)).any()


def test_too_few_stations_for_the_folds_are_an_error(make_city):
    with pytest.raises(DataError, match="'unseen' needs 5 stations or more; Testville has 4"):
        Fold(make_city(stations=4), "unseen")

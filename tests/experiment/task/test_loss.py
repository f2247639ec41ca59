import math

import numpy as np
import pytest
import torch

from tritonbn.experiment.task.loss import paper_loss, station_error

N, H, W = 2, 4, 3
CELLS = [1, 5, 9, 11]


@pytest.fixture
def field():
    return torch.rand(N, 1, H, W, dtype=torch.float64, generator=torch.manual_seed(0))


@pytest.fixture
def readings():
    return torch.rand(N, len(CELLS), dtype=torch.float64, generator=torch.manual_seed(1))


def published_loss(field, readings, weight):
    """The formula of the publication, cell by cell."""
    squares = roughness = pairs = 0.0
    for n in range(N):
        dense = np.zeros((H, W))  # readings in their cells, and a mask of these
        mask = np.zeros((H, W))
        for station, cell in enumerate(CELLS):
            dense[cell // W, cell % W] = readings[n, station]
            mask[cell // W, cell % W] = 1
        for row in range(H):
            for column in range(W):
                value = field[n, 0, row, column].item()
                squares += (value * mask[row, column] - dense[row, column]) ** 2
                for r in range(max(0, row - 1), min(H, row + 2)):
                    for c in range(max(0, column - 1), min(W, column + 2)):
                        if (r, c) != (row, column):
                            roughness += (value - field[n, 0, r, c].item()) ** 2
                            pairs += 1
    loss1 = math.sqrt(squares / (N * H * W) * (H * W / len(CELLS)))
    loss2 = math.sqrt(roughness / pairs)
    return 2 * loss1 + loss2 + 0.01 * sum(w.item() ** 2 for w in weight.flatten())


def test_paper_loss_is_the_published_formula(field, readings):
    weight = torch.randn(1, 8, 1, 1, dtype=torch.float64)
    loss = paper_loss(field, readings, torch.tensor(CELLS), weight)
    assert loss.item() == pytest.approx(published_loss(field, readings, weight), rel=1e-12)


def test_paper_loss_of_a_flat_and_perfect_field_has_a_finite_gradient():
    field = torch.full((N, 1, H, W), 0.5, requires_grad=True)
    weight = torch.zeros(1, 8, 1, 1)
    loss = paper_loss(field, torch.full((N, len(CELLS)), 0.5), torch.tensor(CELLS), weight)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-5)
    assert field.grad.isfinite().all()


def test_paper_loss_of_a_grid_of_one_cell_has_no_roughness():
    field = torch.full((2, 1, 1, 1), 0.5)
    loss = paper_loss(field, torch.full((2, 1), 0.25), torch.tensor([0]), torch.zeros(1))
    assert loss.item() == pytest.approx(2 * 0.25, rel=1e-5)


def test_station_error_counts_only_what_is_known(field, readings):
    readings[0, 2] = readings[1, 0] = torch.nan
    field.requires_grad_()
    error = station_error(field, readings, torch.tensor(CELLS))
    differences = [
        field[n, 0, cell // W, cell % W].item() - readings[n, station].item()
        for n in range(N)
        for station, cell in enumerate(CELLS)
        if not readings[n, station].isnan()
    ]
    assert len(differences) == 6
    assert error.item() == pytest.approx(np.mean(np.square(differences)), rel=1e-12)
    error.backward()
    counted = torch.zeros(N, H * W, dtype=torch.bool)
    counted[0, [1, 5, 11]] = counted[1, [5, 9, 11]] = True
    assert torch.equal(field.grad.flatten(1) != 0, counted)


def test_station_error_of_nothing_is_zero(field):
    field.requires_grad_()
    error = station_error(field, torch.full((N, len(CELLS)), torch.nan), torch.tensor(CELLS))
    error.backward()
    assert error.item() == 0
    assert (field.grad == 0).all()

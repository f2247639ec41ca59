import pytest

from data_prep import load_city


@pytest.fixture(scope="session")
def synthetic():
    return load_city("synthetic", days=1, grid=(16, 16))

"""The recipe of each design."""

from tritonbn.experiment.networks.config import RunConfig
from tritonbn.experiment.networks.published import PublishedRecipe
from tritonbn.experiment.networks.recipe import Recipe
from tritonbn.experiment.networks.residual import ResidualRecipe

RECIPES: dict[str, type[Recipe]] = {"published": PublishedRecipe, "residual": ResidualRecipe}


def recipe_of(config: RunConfig) -> Recipe:
    """Return the recipe of a run."""
    return RECIPES[config.design](config)

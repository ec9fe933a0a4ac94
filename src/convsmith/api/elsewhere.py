"""Runs that were trained on a device that this machine does not have."""

from convsmith.errors import DeviceError
from convsmith.recipe.schema import Recipe
from convsmith.training.device import resolve_device

__all__ = ["for_this_machine"]


def for_this_machine(recipe: Recipe) -> tuple[Recipe, str]:
    """Return a run's recipe for a device that is here, and a note if that is not the run's.

    What was chosen for another device, fp16 above all, may be slow or missing here: fp32 is not.
    """
    train = recipe.train
    try:
        resolve_device(train.device)
        return recipe, ""
    except DeviceError:
        here = str(resolve_device("auto"))
    change = {"device": here, "precision": "fp32"}
    settled = recipe.model_copy(update={"train": train.model_copy(update=change)})
    return settled, f"trained on {train.device} in {train.precision}; here on {here} in fp32"

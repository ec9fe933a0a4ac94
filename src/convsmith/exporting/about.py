"""What an exported network says of itself, in every format."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from convsmith.exporting.graph import Input
from convsmith_runtime.decode import Resize
from convsmith_runtime.manifest import Preprocessing

__all__ = ["About"]


@dataclass(frozen=True)
class About:
    """Name, classes in the order of the logits, figures, recipe and licence of a network.

    ``created`` is an ISO time, ``convsmith`` a version, ``network`` the architecture's name, None
    for one of the user's own. ``metrics`` holds measured figures, and ``resize`` says how image
    files are made to fit.
    """

    name: str
    created: str
    convsmith: str
    network: str | None
    classes: tuple[str, ...]
    resize: Resize
    metrics: Mapping[str, Any]
    recipe: str
    licence: str | None

    def preprocessing(self, given: Input) -> Preprocessing:
        """Return the rule by which image files become the network's input."""
        return Preprocessing(given.channels, given.image_size, self.resize)

    def texts(self, given: Input) -> dict[str, str]:
        """Return all of it as texts by name, for the metadata of a file; lists are JSON."""
        rule = self.preprocessing(given)
        return {
            "name": self.name,
            "created": self.created,
            "convsmith": self.convsmith,
            "network": self.network or "",
            "classes": json.dumps(self.classes, ensure_ascii=False),
            "preprocessing": json.dumps(vars(rule)),
            "metrics": json.dumps(self.metrics),
            "recipe": self.recipe,
            "licence": self.licence or "",
        }

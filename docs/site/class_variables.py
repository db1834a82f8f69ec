"""A bare `ClassVar` is no argument of a dataclass, which griffe sees of `ClassVar[…]` alone (an extension of griffe)."""

from typing import Any

import griffe


class ClassVariables(griffe.Extension):
    """Take the annotation `ClassVar` off, as if there were none."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Called for each attribute that is found."""
        if str(attr.annotation) == "ClassVar":
            attr.annotation = None

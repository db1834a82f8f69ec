"""A bare `ClassVar` is no argument of a dataclass: griffe sees that of `ClassVar[…]` alone (an extension of it)."""

from typing import Any

import griffe


class ClassVariables(griffe.Extension):
    """Take the annotation `ClassVar` off, as if there were none."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Called for each attribute that is found."""
        if str(attr.annotation) == "ClassVar":
            attr.annotation = None

"""How values and choices are written in messages."""

from collections.abc import Iterable, Mapping

from convsmith.errors import nearest

__all__ = ["choose", "shown"]


def choose(name: str, known: Iterable[str]) -> str:
    """Return the nearest known name, or all of them."""
    names = list(known)
    near = nearest(name, names)
    if near is None:
        return f"known: {', '.join(names)}" if names else "there is nothing to set here"
    return f"did you mean `{near}`? known: {', '.join(names)}"


def shown(value: object) -> str:
    """Return a value as a person would write it, shortened."""
    names: Mapping[object, str] = {None: "nothing"}
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(shown(each) for each in value) + "]"
    text = names[value] if value is None else repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"

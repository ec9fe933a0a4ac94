"""A stranger's words on a terminal."""

__all__ = ["printable"]


def printable(text: str) -> str:
    r"""Return a text in one line; what would move the cursor or change colours is shown as \x1b."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)

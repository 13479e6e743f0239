"""What a run may find: that something which must hold does not."""


class Finding(Exception):
    """A checker's verdict. Ends the run; `checker` is its stable name."""

    def __init__(self, checker: str, detail: str) -> None:
        self.checker = checker
        self.detail = detail
        super().__init__(checker, detail)

    def __str__(self) -> str:
        return f"{self.checker}: {self.detail}"


def expect(condition: bool, checker: str, detail: str) -> None:  # noqa: FBT001 - reads as a sentence at the call
    """Raise a `Finding` unless `condition`."""
    if not condition:
        raise Finding(checker, detail)

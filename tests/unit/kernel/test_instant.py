from icn.kernel.instant import Duration, Instant, later, milliseconds, seconds


def test_spans_are_whole_milliseconds() -> None:
    assert seconds(3) == Duration(3000) == milliseconds(3000)


def test_later_adds_the_span() -> None:
    assert later(Instant(1_000), seconds(2)) == Instant(3_000)
    assert type(later(Instant(1), milliseconds(1))) is int

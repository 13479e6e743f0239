"""The example jobs do what their first lines say, and give what examples/expected.toml says."""

import csv
import io
import shutil
import struct
import subprocess
import sys
import tomllib
import zlib
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest

from icn.adapters.wasm.messages import Ended
from icn.adapters.wasm.text import compile_text
from icn.assemble import rates
from icn.config.load import load
from icn.domain.mesh.execution import ExitKind, Limits
from icn.domain.mesh.model import JobSpec
from icn.domain.mesh.pricing import price_of
from icn.kernel.ids import RAW, Cid
from icn.kernel.instant import Instant
from icn.kernel.mana import Mana
from support.wasm_inside import run_inside

ROOT = Path(__file__).resolve().parents[4]
EXAMPLES = ROOT / "examples"
EXPECTED: dict[str, dict[str, Any]] = tomllib.loads((EXAMPLES / "expected.toml").read_text(encoding="utf-8"))


def text_of(name: str) -> str:
    return (EXAMPLES / name / f"{name}.wat").read_text()


def limits_of(name: str) -> Limits:
    wanted = EXPECTED[name]
    return Limits(
        fuel=wanted["fuel"], memory_bytes=wanted["memory"], table_elements=1000, wall_ms=60_000, output_bytes=1 << 20
    )


def run_example(name: str, *arguments: str, given: bytes) -> Ended:
    module = (EXAMPLES / name / f"{name}.wasm").read_bytes()
    return run_inside(module, arguments=arguments, given=given, limits=limits_of(name))


@pytest.mark.parametrize(
    ("limit", "count"), [("0", 0), ("2", 0), ("3", 1), ("5", 2), ("100", 25), ("7920", 1000), ("100000", 9592)]
)
def test_primes_are_counted(limit: str, count: int) -> None:
    ended = run_inside(text_of("primes"), arguments=(limit,))
    assert (ended.exit, ended.exit_code, ended.output) == (ExitKind.COMPLETED, 0, f"{count}\n".encode())


@pytest.mark.parametrize("arguments", [(), ("",), ("x",), ("-1",), ("4000000001",), ("1", "2"), ("9" * 5000,)])
def test_primes_without_a_number_says_how_it_is_used(arguments: tuple[str, ...]) -> None:
    ended = run_inside(text_of("primes"), arguments=arguments)
    assert (ended.exit_code, ended.output) == (2, b"")
    assert ended.detail.startswith("usage: primes N")


def test_squares_are_added() -> None:
    output = run_inside(text_of("squares")).output
    assert int.from_bytes(output, "little") == sum(n * n for n in range(1, 1_000_001))


def test_the_same_text_makes_the_same_module() -> None:
    assert compile_text(text_of("primes")) == compile_text(text_of("primes"))


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_gives_the_output_and_burns_the_fuel_that_is_written_down(name: str) -> None:
    wanted = EXPECTED[name]
    ended = run_example(name, *wanted["args"], given=(EXAMPLES / wanted["input"]).read_bytes())
    assert (ended.exit, ended.exit_code, ended.detail) == (ExitKind.COMPLETED, 0, "")
    assert (str(Cid.of(ended.output, RAW)), ended.fuel_used) == (wanted["output"], wanted["fuel_used"])


@pytest.mark.parametrize("name", EXPECTED)
def test_the_price_is_what_a_node_asks_that_nobody_configured(name: str) -> None:
    module = Cid.of((EXAMPLES / name / f"{name}.wasm").read_bytes(), RAW)
    given = Cid.of((EXAMPLES / EXPECTED[name]["input"]).read_bytes(), RAW)
    spec = JobSpec(
        module=module,
        arguments=tuple(EXPECTED[name]["args"]),
        input=b"",
        input_cid=given,
        limits=limits_of(name),
        max_price=Mana(EXPECTED[name]["price"]),
        capabilities=(),
        deadline=Instant(0),
        redundancy=1,
    )
    default = rates(load(flags={}, config_path=None, environ={}).settings)
    assert price_of(spec, default) == EXPECTED[name]["price"]


@pytest.mark.slow
def test_the_modules_kept_are_what_the_sources_compile_to(tmp_path: Path) -> None:
    if shutil.which("clang") is None:
        pytest.skip("clang is not here: see the top of examples/build.py")
    subprocess.run([sys.executable, str(EXAMPLES / "build.py"), str(tmp_path)], check=True, capture_output=True)
    version = subprocess.run(["clang", "--version"], check=True, capture_output=True, text=True).stdout
    for name, wanted in EXPECTED.items():
        built = (tmp_path / f"{name}.wasm").read_bytes()
        given = (EXAMPLES / wanted["input"]).read_bytes()
        ended = run_inside(built, arguments=tuple(wanted["args"]), given=given, limits=limits_of(name))
        assert str(Cid.of(ended.output, RAW)) == wanted["output"]
        if "version 14.0.6" in version:  # another compiler makes other bytes that do the same
            assert built == (EXAMPLES / name / f"{name}.wasm").read_bytes()


HEADER = "date,member,crop,kg,price\n"


def test_a_harvest_is_added_up_exactly() -> None:
    given = (EXAMPLES / EXPECTED["harvest"]["input"]).read_text(encoding="utf-8")
    owed: dict[tuple[str, str], Decimal] = {}
    for row in csv.DictReader(io.StringIO(given)):
        key = (row["member"], row["crop"])
        cents = (Decimal(row["kg"]) * Decimal(row["price"])).quantize(Decimal("0.01"), ROUND_HALF_UP)
        owed[key] = owed.get(key, Decimal(0)) + cents
    rows = list(csv.DictReader(io.StringIO(run_example("harvest", given=given.encode()).output.decode())))
    found = {(row["member"], row["crop"]): Decimal(row["owed"]) for row in rows[:-1]}
    assert found == owed
    assert list(found) == sorted(found)
    assert rows[-1]["member"] == "TOTAL"
    assert Decimal(rows[-1]["owed"]) == sum(owed.values())


def test_a_harvest_counts_the_season_asked_for() -> None:
    given = HEADER + "".join(f"2026-0{month}-01,Ann,apples,1,1.00\n" for month in (1, 2, 3, 4))
    ended = run_example("harvest", "--from", "2026-02-01", "--to", "2026-03-01", given=given.encode())
    assert ended.output.decode().splitlines()[1:] == ["Ann,apples,2,2.000,2.00", "TOTAL,,2,2.000,2.00"]


def test_a_cent_is_rounded_once_for_each_delivery() -> None:
    given = HEADER + "2026-01-01,Ann,apples,0.001,4.995\n" * 3 + "2026-01-01,Ann,apples,1,0.005\n"
    ended = run_example("harvest", given=given.encode())
    assert ended.output.decode().splitlines()[1] == "Ann,apples,4,1.003,0.01"


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ("2026-01-01,Ann,apples,1,1.00\n2026-13-01,Ann,apples,1,1.00\n", "line 3: no such date: '2026-13-01'"),
        ("01/02/2026,Ann,apples,1,1.00\n", "line 2: a date is YYYY-MM-DD: '01/02/2026'"),
        ("2026-01-01,Ann,apples,-1,1.00\n", "line 2: kilograms have up to three decimals: '-1'"),
        ("2026-01-01,Ann,apples,,1.00\n", "line 2: kilograms have up to three decimals: ''"),
        ("2026-01-01,Ann,apples,1,1.0001\n", "line 2: a price has up to three decimals: '1.0001'"),
        ("2026-01-01,Ann,apples,999999999999999,99999999\n", "line 2: is more than can be added up: '999999999999999'"),
        ("2026-01-01,Ann,apples,1\n", "line 2: has another number of fields than the header: '2026-01-01'"),
        ("2026-01-01,,apples,1,1.00\n", "line 2: a delivery has a member: ''"),
        ('2026-01-01,"Ann,apples,1,1.00\n', "a quoted field does not end"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_added_up(lines: str, complaint: str) -> None:
    ended = run_example("harvest", given=(HEADER + lines).encode())
    assert (ended.exit_code, ended.output) == (1, b"")
    assert complaint in ended.detail


def test_a_harvest_without_a_column_says_which() -> None:
    ended = run_example("harvest", given=b"date,member,crop,kg\n")
    assert (ended.exit_code, ended.detail.strip()) == (1, "line 1: the header lacks a column: 'price'")


def png_size(data: bytes) -> tuple[int, int]:
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", data[16:24])


def pnm(width: int, height: int, color: bytes = b"\xc8\x64\x32") -> bytes:
    return f"P6 {width} {height} 255\n".encode() + color * (width * height)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("picture", "box", "size"),
    [((300, 200), (150, 150), (150, 100)), ((200, 300), (150, 150), (100, 150)), ((40, 30), (150, 150), (40, 30)),
     ((1000, 3), (100, 100), (100, 1)), ((100, 100), (1, 1), (1, 1))],
)  # fmt: skip
def test_a_picture_fits_its_box_and_keeps_its_proportions(
    picture: tuple[int, int], box: tuple[int, int], size: tuple[int, int]
) -> None:
    ended = run_example("thumbnail", *map(str, box), given=pnm(*picture))
    assert (ended.exit_code, png_size(ended.output)) == (0, size)
    idat = ended.output[ended.output.index(b"IDAT") + 4 : ended.output.index(b"IEND") - 8]
    pixels = zlib.decompress(idat)
    assert len(pixels) == size[1] * (1 + 3 * size[0])


@pytest.mark.parametrize("given", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_what_is_no_picture_is_refused(given: bytes) -> None:
    ended = run_example("thumbnail", "10", "10", given=given)
    assert (ended.exit, ended.exit_code, ended.output) == (ExitKind.COMPLETED, 1, b"")


@pytest.mark.parametrize("arguments", [(), ("10",), ("0", "10"), ("10", "8193"), ("a", "b"), ("1", "2", "3")])
def test_a_thumbnail_of_no_size_says_how_it_is_used(arguments: tuple[str, ...]) -> None:
    ended = run_example("thumbnail", *arguments, given=pnm(2, 2))
    assert (ended.exit_code, ended.output) == (2, b"")
    assert ended.detail.startswith("usage: thumbnail")


MEETINGS = "# one\nbread and butter\n# two\nbread, bread, BREAD\n# three\nÖl und Brot\n"


def titles(*words: str) -> list[str]:
    output = run_example("minutes", *words, given=MEETINGS.encode()).output.decode()
    return [line.split("\t")[2] for line in output.splitlines()]


def test_the_meeting_that_speaks_most_of_it_comes_first() -> None:
    assert titles("bread") == ["two", "one"]
    assert titles("Bread", "butter") == ["one", "two"]


def test_a_rare_word_weighs_more_than_a_common_one() -> None:
    given = "".join(f"# m{number}\nfield field and water\n" for number in range(4)) + "# flood\nflood in the field\n"
    output = run_example("minutes", "field", "flood", given=given.encode()).output.decode()
    assert output.splitlines()[0].split("\t")[2] == "flood"
    commonly = run_example("minutes", "field", given=given.encode()).output.decode()
    assert commonly.splitlines()[-1].split("\t")[2] == "flood"
    assert float(output.splitlines()[0].split("\t")[1]) > 10 * float(commonly.splitlines()[0].split("\t")[1])


def test_words_are_found_in_any_case_and_by_their_beginning() -> None:
    assert titles("ÖL") == titles("öl") == ["three"]
    assert titles("bro*") == ["three"]
    assert titles("bre") == []


def test_nothing_found_is_said() -> None:
    ended = run_example("minutes", "cheese", given=MEETINGS.encode())
    assert (ended.exit_code, ended.output, ended.detail.strip()) == (1, b"", "no meeting matches")


def battery(*arguments: str, given: bytes | None = None) -> Ended:
    day = (EXAMPLES / EXPECTED["battery"]["input"]).read_bytes() if given is None else given
    return run_example("battery", *arguments, given=day)


SEASON = (25, 38, 58, 78, 92, 99, 100, 90, 70, 47, 29, 21)


def simulated(years: int, seed: int, size: int) -> str:
    """One battery, by the words at the top of battery.c."""
    day = [tuple(map(int, line.split(","))) for line in (EXAMPLES / "battery" / "day.csv").read_text().split()]
    state, sky, left, bought, dark = seed, 60, [0, 0], 0, 0

    def draw(below: int) -> int:
        nonlocal state
        state = z = (state + 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return int((z ^ (z >> 31)) % below)

    for number in range(years * 365):
        sky = 60 if number % 365 == 0 else sky
        sky = (sky + 2 * (10 + draw(91))) // 3
        for _, usual, sun in day:
            used = usual * (75 + draw(51)) // 100
            missing = used - sun * SEASON[number % 365 * 12 // 365] // 100 * sky // 100
            for grid in (False, True):
                if missing <= 0:
                    left[grid] = min(size, left[grid] + -missing * 90 // 100)
                elif missing <= left[grid]:
                    left[grid] -= missing
                elif grid:
                    bought, left[grid] = bought + missing - left[grid], 0
                else:
                    dark += 1
    share = dark * 10_000 // (years * 8760)
    return f"{size // 1000},{bought // years // 1000},{share // 100}.{share % 100:02}"


def test_a_battery_is_simulated_as_its_first_lines_say() -> None:
    rows = battery("2", "2026", "0", "30", "80").output.decode().splitlines()[1:]
    assert rows == [simulated(2, 2026, size) for size in (0, 30_000, 80_000)]


def test_a_larger_battery_never_buys_more_from_the_grid() -> None:
    rows = list(csv.DictReader(io.StringIO(battery("5", "1", "0", "10", "20", "50", "100").output.decode())))
    bought = [int(row["bought_kwh_per_year"]) for row in rows]
    assert bought == sorted(bought, reverse=True)
    assert bought[0] > bought[-1]


def test_chance_follows_from_the_seed() -> None:
    assert battery("2", "7", "20").output == battery("2", "7", "20").output
    assert battery("2", "7", "20").output != battery("2", "8", "20").output


@pytest.mark.parametrize("arguments", [(), ("1", "1"), ("0", "1", "1"), ("1", "-1", "1"), ("1", "1", "x")])
def test_a_battery_asked_wrongly_says_why(arguments: tuple[str, ...]) -> None:
    assert battery(*arguments).exit_code == 2


def test_a_day_of_23_hours_is_refused() -> None:
    ended = battery("1", "1", "1", given=b"".join(b"%d,1,1\n" % hour for hour in range(23)))
    assert (ended.exit_code, ended.output) == (1, b"")
    assert "line 24" in ended.detail

import tomllib
from pathlib import Path

from icn.config.toml_lines import key_lines

AWKWARD = Path(__file__).with_name("awkward.toml").read_text()


def test_every_key_of_an_awkward_file_has_its_line():
    lines = key_lines(AWKWARD)
    numbered = AWKWARD.split("\n")

    def line_of(*path):
        return numbered[lines[path] - 1]

    assert line_of("top").startswith("top = 1")
    assert line_of("quoted key").startswith('"quoted key"')
    assert line_of("literal.key").startswith("'literal.key'")
    assert line_of("network") == "[network] # with a comment"
    assert line_of("network", "max_peers") == "max_peers = 50"
    assert line_of("network", "bootstrap_peers", 0).strip().startswith('"/ip4/1"')
    assert line_of("network", "bootstrap_peers", 1).strip() == '"/ip4/2"'
    assert line_of("network", "bootstrap_peers", 2).strip() == ', "/ip4/3",'
    assert line_of("network", "a", "b", "c.d", "y", 0, "z").startswith("a.b.")
    assert line_of("network", "a").startswith("a.b.")
    assert line_of("network", "after") == "after = true"
    assert line_of("storage", "inner").startswith("  [ storage")
    assert line_of("storage", "inner", "when").startswith("when")
    assert line_of("storage", "inner", "last").startswith("last")
    assert line_of("things", 1, "n") == "n = 2"
    assert lines["things", 0] + 2 == lines["things", 1]


def test_the_finder_sees_the_keys_that_tomllib_sees():
    def paths(value, prefix=()):
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in items:
            yield (*prefix, key)
            yield from paths(inner, (*prefix, key))

    assert set(paths(tomllib.loads(AWKWARD))) == set(key_lines(AWKWARD))


def test_an_empty_file_has_no_lines():
    assert key_lines("") == key_lines("# nothing\n\n") == {}

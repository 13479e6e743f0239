import argparse
from pathlib import Path

import pytest

from icn.config.catalog import catalog
from icn.config.flags import FLAGS, FlagValue, add_flags, config_path_from, flags_from
from icn.config.sources import ConfigurationRefused


def parse(*arguments):
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_flags(parser)
    return parser.parse_args(list(arguments))


def test_every_flag_sets_a_key_of_the_schema():
    assert {flag.key for flag in FLAGS} <= set(catalog().spellings)


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_every_flag_gives_its_text_and_its_name(flag):
    arguments = [flag.name] if flag.fixed else [flag.name, "x"]
    assert flags_from(parse(*arguments)) == {flag.key: FlagValue(flag.fixed or "x", flag.name)}


def test_no_flag_gives_nothing():
    assert flags_from(parse()) == {}
    assert config_path_from(parse()) is None
    assert config_path_from(parse("--config", "x.toml")) == Path("x.toml")


def test_lists_are_joined_and_any_setting_can_be_set():
    found = flags_from(parse("--bootstrap-peers", "a,b", "--bootstrap-peers", "c", "--set", "mesh.price_minimum=a=b"))
    assert found["network.bootstrap_peers"].value == "a,b,c"
    assert found["mesh.price_minimum"] == FlagValue("a=b", "--set mesh.price_minimum")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--p2p-enabled", "--no-p2p"),
        ("--log-level", "info", "--set", "runtime.log_level=debug"),
        ("--set", "a=1", "--set", "a=2"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(arguments):
    with pytest.raises(ConfigurationRefused, match="contradicts"):
        flags_from(parse(*arguments))


def test_an_assignment_without_a_value_is_refused_without_repeating_it():
    with pytest.raises(ConfigurationRefused, match=r"section\.key=value") as caught:
        flags_from(parse("--set", "security.api_key:hunter2"))
    assert "hunter2" not in str(caught.value)


def test_flags_before_a_subcommand_survive_it():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_flags(parser)
    child = parser.add_subparsers().add_parser("config", allow_abbrev=False)
    add_flags(child)
    found = flags_from(parser.parse_args(["--test-mode", "config", "--log-level", "debug"]))
    assert {key: value.value for key, value in found.items()} == {
        "runtime.test_mode": "true",
        "runtime.log_level": "debug",
    }


def test_the_guides_command_lines_are_understood(loading):
    for line in (
        "--test-mode",
        "--storage-backend sqlite --storage-path ./icn_data/dag.sqlite",
        "--storage-backend sled --storage-path ./icn_data/node.sled --http-listen-addr 127.0.0.1:7845 --api-key k",
        "--storage-backend sled",
        "--storage-backend rocksdb --storage-path ./icn_data/rocksdb",
        "--storage-backend postgresql --db-url postgresql://user:pass@localhost/icn",
        "--storage-backend postgresql --db-url postgresql://localhost/icn_node_a --no-standby",
        "--storage-backend postgres --storage-path postgres://user:pass@localhost/icn_dag",
        "--storage-backend memory --http-listen-addr 0.0.0.0:7845 --p2p-listen-addr /ip4/0.0.0.0/tcp/7000 --api-key k",
        "--metrics-enabled --metrics-bind-addr 0.0.0.0:9090",
    ):
        flags = flags_from(parse(*line.split()))
        assert loading(flags={key: value.value for key, value in flags.items()})

import tomllib

from icn.config import explain
from support import builders


def test_only_what_was_set_is_shown_unless_all_is_asked_for(loading):
    loaded = loading('[network]\nmax_peers = 3\n[logging]\nformat = "text"')
    assert explain.show(loaded, effective=False, origin=False) == (
        '[network]\nmax_peers = 3\n\n[logging]\nformat = "text"\n'
    )
    assert explain.show(loading(), effective=False, origin=True) == ""


def test_what_is_shown_loads_again_to_the_same_settings(loading):
    env = {"ICN_ENVIRONMENT": "development", "ICN_STORAGE_PATH": 'a "quoted" path\\x', "ICN_LOGGING_OUTPUT": "/l"}
    loaded = loading(env=env)
    for origin in (True, False):
        shown = explain.show(loaded, effective=True, origin=origin)
        assert loading(shown, {"ICN_API_KEY": "k"}).settings.storage == loaded.settings.storage
        assert tomllib.loads(shown)["network"]["connection_timeout"] == 30


def test_every_value_is_shown_with_its_origin(loading):
    loaded = loading("[network]\nmax_peers = 3", {"ICN_LOG_LEVEL": "debug"}, {"mesh.price_minimum": "2"})
    shown = explain.show(loaded, effective=True, origin=True).splitlines()
    assert f"max_peers = 3  # {loading.path}:2" in shown
    assert 'log_level = "debug"  # environment ICN_LOG_LEVEL' in shown
    assert "price_minimum = 2  # flag --mesh.price_minimum" in shown
    assert "connection_timeout = 30  # default" in shown
    assert "bid_window_ms = 5000  # default in production" in shown
    assert "# node_did is not set  # default" in shown


def test_a_time_that_is_no_whole_second_is_shown_in_milliseconds(loading):
    loaded = loading("[network]\nconnection_timeout_ms = 1500")
    assert explain.show(loaded, effective=False, origin=False) == "[network]\nconnection_timeout_ms = 1500\n"


def test_the_report_lists_the_warnings(loading):
    report = explain.report(loading(env={"ICN_STORAGE_BACKEND": "memory"}))
    assert report.startswith("configuration is valid: production, storage memory, API on 127.0.0.1:7845\nwarning: ")
    assert report.endswith("\n1 warning\n")


def test_names_of_nodes_are_shown_as_they_are_written(loading):
    node, founder = str(builders.did(1)), str(builders.did(2))
    written = f'[identity]\nnode_did = "{node}"\n\n[federation]\nfounders = ["{founder}"]\n'
    shown = tomllib.loads(explain.show(loading(written), effective=False, origin=False))
    assert shown["identity"]["node_did"] == node
    assert shown["federation"]["founders"] == [founder]

"""What the deployment guide types, taken from the guide itself, where this release has it."""

import os
import re
from pathlib import Path

import pytest
from node_process import wait_until

from support.pages import ROOT, blocks, commands, run_page
from support.processes import ExactNode, cli, default_ports, node_program
from support.skips import GUIDE_ABSENT

pytestmark = pytest.mark.slow

DEVNET_DOWN = "icn-cli devnet down --purge"
GUIDE = Path(os.environ.get("GUIDE_PATH") or ROOT.parent / "shared" / "guide" / "deployment-guide.md")


@pytest.fixture(scope="module")
def guide() -> str:
    if not GUIDE.is_file():
        pytest.skip(f"{GUIDE_ABSENT} {GUIDE}")
    return GUIDE.read_text()


def block_with(guide: str, language: str, *parts: str) -> str:
    """The first block in which all of `parts` stand."""
    return next(block for block in blocks(guide, language) if all(part in block for part in parts))


def lines_with(block: str, part: str) -> list[str]:
    return [line for line in re.sub(r"\\\n\s*", "", block).split("\n") if part in line and not line.startswith("#")]


def test_quick_start(guide: str, tmp_path: Path) -> None:
    block = block_with(guide, "bash", "--test-mode", "icn-cli")
    recipes = (ROOT / "justfile").read_text()
    for recipe in re.findall(r"just (\w+)", block):
        assert re.search(rf"^{recipe}:", recipes, re.MULTILINE)
    lines = [line.replace("cargo run --bin ", "").replace(" -- ", " ") for line in lines_with(block, "cargo run")]
    assert lines == ["icn-node --test-mode", "icn-cli info"]
    with default_ports():
        assert "did:key:z" in run_page(lines, tmp_path)


def test_development_toml(guide: str, tmp_path: Path) -> None:
    text = block_with(guide, "toml", "configs/development.toml")
    assert text == (ROOT / "configs" / "development.toml").read_text()
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "development.toml").write_text(text)
    with default_ports():
        printed = run_page(["icn-node --config configs/development.toml", "icn-cli info", "icn-cli status"], tmp_path)
    assert "memory" in printed


def test_the_sqlite_node_with_what_is_asked_of_it(guide: str, tmp_path: Path) -> None:
    start = lines_with(block_with(guide, "bash", "--storage-backend sqlite"), "icn-node")
    rollbacks = lines_with(block_with(guide, "bash", "--type rollback"), "icn-cli")
    verify = lines_with(block_with(guide, "bash", "dag verify --deep"), "dag verify")
    assert start == ["icn-node --storage-backend sqlite --storage-path ./icn_data/dag.sqlite"]
    assert rollbacks == ["icn-cli events --type rollback --tail 20"]
    assert verify == ["icn-cli dag verify --deep"]
    health = [
        re.sub("https://[a-z.-]+", "http://127.0.0.1:7845", line).replace("your-api-key", "$ICN_API_KEY")
        for line in lines_with(block_with(guide, "bash", "/health", "/status"), "curl")
    ]
    assert len(health) == 2
    by_api = "curl --fail -H \"x-api-key: $ICN_API_KEY\" 'http://127.0.0.1:7845/events?type=rollback'"
    assert "`/events?type=rollback`" in guide
    with default_ports():
        printed = run_page([*start, *rollbacks, *verify, *health, by_api], tmp_path, env={"ICN_API_KEY": "a-key"})
    assert '{"status":"ok"}' in printed
    assert (tmp_path / "icn_data" / "dag.sqlite").is_file()


def test_retries(guide: str, tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text(block_with(guide, "toml", "job_retry_count"))
    shown = node_program("config", "show", "--config", "node.toml", "--origin", cwd=tmp_path)
    assert "job_retry_count = 5  # node.toml:2" in shown.out
    name, _, value = block_with(guide, "bash", "ICN_MESH_JOB_RETRY_COUNT").strip().partition("=")
    shown = node_program("config", "show", "--origin", cwd=tmp_path, env={name: value})
    assert f"job_retry_count = 5  # environment {name}" in shown.out
    (tmp_path / "node.toml").write_text(block_with(guide, "toml", "blacklist_after_failures"))
    shown = node_program("config", "show", "--config", "node.toml", "--origin", cwd=tmp_path)
    for line in ("blacklist_after_failures = 3  # node.toml:2", "blacklist_cooldown_secs = 600  # node.toml:3"):
        assert line in shown.out
    asked = lines_with(block_with(guide, "bash", "icn-cli mesh blacklist"), "icn-cli")
    assert asked == ["icn-cli mesh blacklist"]
    with default_ports():
        assert "no executor is on the blacklist" in run_page(["icn-node --test-mode", *asked], tmp_path)


def test_breaker_and_retry(guide: str, tmp_path: Path) -> None:
    breaker = block_with(guide, "toml", "failure_threshold", "open_timeout_secs")
    retry = block_with(guide, "toml", "retry_max_attempts")
    (tmp_path / "node.toml").write_text(f"[network]\n{breaker}{retry}")
    shown = node_program("config", "show", "--config", "node.toml", "--origin", cwd=tmp_path)
    for line in (
        "failure_threshold = 3",
        "open_timeout_secs = 5",
        "retry_max_attempts = 3",
        "retry_max_delay_ms = 1000",
    ):
        assert f"{line}  # node.toml" in shown.out
    variables = dict(
        line.split("=") for line in lines_with(block_with(guide, "bash", "RETRY_MAX_DELAY"), "ICN_NETWORK")
    )
    assert len(variables) == 5
    shown = node_program("config", "show", "--config", "node.toml", "--origin", cwd=tmp_path, env=variables)
    for name, value in variables.items():
        key = name.removeprefix("ICN_NETWORK_").lower()
        assert f"{key} = {value}  # environment {name}" in shown.out


def devnet_lines(guide: str, script: str) -> list[str]:
    """A block of the guide that starts a devnet; its scripts are here, where it looks for them."""
    lines = commands(block_with(guide, "bash", script))
    folder = ROOT
    for line in lines:
        if line.startswith("cd "):
            folder /= line.removeprefix("cd ")
        elif not line.startswith("#"):
            assert os.access(folder / line.split()[-1], os.X_OK), line
    return lines


def test_the_scripts_of_devnets_are_where_the_guide_has_them(guide: str) -> None:
    automated = devnet_lines(guide, "launch_federation.sh")
    assert [line for line in automated if not line.startswith("#")] == [
        "cd icn-devnet",
        "./launch_federation.sh",
        "NUM_JOBS=50 ./scripts/run_10node_devnet.sh",
    ]
    assert devnet_lines(guide, "deploy_large_federation.sh") == ["./scripts/deploy_large_federation.sh"]


@pytest.mark.long
def test_automated_federation_setup(guide: str, tmp_path: Path) -> None:
    env = {"XDG_STATE_HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    lines = devnet_lines(guide, "launch_federation.sh")
    try:
        printed = run_page([*lines, "icn-cli devnet status"], ROOT, env=env)
    finally:
        run_page([DEVNET_DOWN], ROOT, env=env)
    assert printed.count('{"ok": true, "up": {"ok": true') == 2
    assert '"jobs": {"asked": 50, "completed": 50' in printed
    assert list((tmp_path / "icn").iterdir()) == []


@pytest.mark.long
def test_large_federation_script(guide: str, tmp_path: Path) -> None:
    env = {"XDG_STATE_HOME": str(tmp_path)}
    lines = devnet_lines(guide, "deploy_large_federation.sh")
    try:
        printed = run_page(lines, ROOT, env=env)
    finally:
        run_page([f"{DEVNET_DOWN} --dir {tmp_path}/icn/devnet-large"], ROOT, env=env)
    assert '{"ok": true, "up": {"ok": true' in printed
    assert '"nodes": 20' in printed


def test_metrics(guide: str, tmp_path: Path) -> None:
    (line,) = lines_with(block_with(guide, "bash", "--metrics-enabled"), "icn-node")
    checked = node_program("config", "check", *line.split()[1:], cwd=tmp_path)
    assert checked.code == 0
    assert "can be read from other machines without a key" in checked.out
    named = re.findall(r"^- `(icn_\w+)`", guide, re.MULTILINE)
    assert named
    node = ExactNode(tmp_path, "--test-mode", "--http-listen-addr", "127.0.0.1:0", "--no-metrics")
    try:
        node.start()
        exposed = node.ask("GET", "/metrics").decode()
        for name in named:
            if name != "icn_governance_proposals_total":  # governance is not in this release
                assert re.search(rf"^{name}[ {{]", exposed, re.MULTILINE), name
        wait_until("its answer", lambda: cli(node, "status").code == 0)
    finally:
        node.kill()

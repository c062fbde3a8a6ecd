"""The configuration: precedence, refusals by name, paths, and that its own documentation is a configuration."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import BrokerTable, DeviceConfig, DeviceTable, ReceiverConfig, WatchTable
from edge.errors import ConfigError, ExitCode
from edge.records import CaptureSource, Domain, KeyFileMode, MapName, NetworkName

DEVICE = '[device]\nid = "ct-1"\naudience = "hospital"\n'
RECEIVER = '[receiver]\nid = "hospital"\n'


@pytest.fixture
def write(tmp_path):
    def write_text(text, name="config.toml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write_text


@pytest.fixture(scope="module")
def minimal(tmp_path_factory):
    path = tmp_path_factory.mktemp("minimal") / "config.toml"
    path.write_text(DEVICE)
    return path


def load(path, environ=None, **overrides):
    return DeviceConfig.load(
        path, environ=environ or {}, overrides={k.replace("__", "."): v for k, v in overrides.items()}
    )


# --- defaults and precedence ----------------------------------------------------------------------------------------


def test_two_lines_make_a_device_configuration(minimal):
    config = load(minimal)
    assert config.device.id == "ct-1"
    assert config.device.key == minimal.parent / "device.key"
    assert config.watch == WatchTable()
    assert config.watch.capture_fallbacks == (CaptureSource.OPERATOR, CaptureSource.SIDECAR, CaptureSource.MTIME)
    assert config.cipher.map is MapName.LOGISTIC
    assert config.cipher.network is NetworkName.MOBILENETV2
    assert config.cipher.domain is Domain.FILE
    assert config.cipher.key_file is KeyFileMode.COMPACT
    assert config.transfer.chunk_size == 262_144
    assert config.spool.max_bytes == 10 * 2**30
    assert config.spool.reserve_bytes == 500_000_000
    assert config.spool.reserve_percent == 5
    assert config.limits.image_bytes == 4 * 2**30


def test_one_line_makes_a_receiver_configuration(write):
    config = ReceiverConfig.load(write(RECEIVER), environ={}, overrides={})
    assert config.receiver.id == "hospital"
    assert config.receiver.group == ""
    assert (config.transfer.credit, config.transfer.active, config.transfer.stall) == (32, 4, 10.0)


def test_flags_win_over_the_environment_over_the_file_over_the_default(write):
    path = write(DEVICE + '[broker]\nurl = "mqtt://file"\nkeepalive = 40\nusername = "file"\n')
    environ = {"EDGE_ENCRYPTOR_BROKER_URL": "mqtt://environment", "EDGE_ENCRYPTOR_BROKER_KEEPALIVE": "50"}
    broker = load(path, environ, broker__url="mqtt://flag", broker__keepalive=None).broker
    assert (broker.url, broker.keepalive, broker.username, broker.prefix) == ("mqtt://flag", 50, "file", "edge/v1")


def test_environment_texts_become_each_keys_own_type(minimal):
    config = load(
        minimal,
        {
            "EDGE_ENCRYPTOR_WATCH_SETTLE": "0.25",
            "EDGE_ENCRYPTOR_WATCH_IGNORE": "*.bak, ~*",
            "EDGE_ENCRYPTOR_WATCH_CAPTURE_FALLBACKS": "mtime",
            "EDGE_ENCRYPTOR_CIPHER_MAP": "lorenz",
            "EDGE_ENCRYPTOR_TRANSFER_OUTSTANDING": "2",
            "EDGE_ENCRYPTOR_SPOOL_MAX_BYTES": "1.5 GiB",
            "EDGE_ENCRYPTOR_BROKER_CA_FILE": "",
            "EDGE_RECEIVER_BROKER_URL": "another program's",
            "PATH": "/bin",
        },
    )
    assert config.watch.settle == 0.25
    assert config.watch.ignore == ("*.bak", "~*")
    assert config.watch.capture_fallbacks == (CaptureSource.MTIME,)
    assert config.cipher.map is MapName.LORENZ
    assert config.transfer.outstanding == 2
    assert config.spool.max_bytes == 3 * 2**29
    assert config.broker.ca_file is None


def test_a_bad_value_is_refused_even_where_a_flag_replaces_it(write):
    with pytest.raises(ConfigError, match=r"broker\.keepalive"):
        load(write(DEVICE + '[broker]\nkeepalive = "soon"\n'), broker__keepalive=30)


# --- paths ----------------------------------------------------------------------------------------------------------


def test_paths_of_the_file_are_relative_to_it_and_those_of_flags_to_here(write, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    path = write(DEVICE + 'key = "keys/a.key"\ntrust = "/srv/trust"\n')
    monkeypatch.chdir(here)
    config = load(path, {"EDGE_ENCRYPTOR_DEVICE_STATE": "spool"}, watch__folder=Path("scans"))
    assert config.device.key == tmp_path / "keys/a.key"
    assert config.device.trust == Path("/srv/trust")
    assert config.device.state == here / "spool"
    assert config.watch.folder == here / "scans"


def test_a_list_of_paths_is_relative_to_the_file_too(write, tmp_path):
    path = write(RECEIVER + 'old_unwrap_keys = ["a.key", "/b.key"]\n')
    config = ReceiverConfig.load(path, environ={}, overrides={})
    assert config.receiver.old_unwrap_keys == (tmp_path / "a.key", Path("/b.key"))


@pytest.mark.parametrize(
    ("config_class", "usual", "text"),
    [
        (DeviceConfig, ("device", "EDGE_ENCRYPTOR_CONFIG"), DEVICE),
        (ReceiverConfig, ("receiver", "EDGE_RECEIVER_CONFIG"), RECEIVER),
    ],
)
def test_without_a_path_the_variable_then_the_usual_place_is_tried(config_class, usual, text, tmp_path, monkeypatch):
    folder, variable = usual
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("edge.config.load.SYSTEM_FOLDER", tmp_path / "system")
    with pytest.raises(ConfigError) as caught:
        config_class.load(None, environ={}, overrides={})
    assert "edge-firmware provision" in caught.value.hint

    for place, keepalive in (("system", 11), (".", 12), ("named", 13)):
        path = tmp_path / place / folder / "config.toml"
        path.parent.mkdir(parents=True)
        path.write_text(f"{text}[broker]\nkeepalive = {keepalive}\n")
        environ = {variable: str(path)} if place == "named" else {}
        assert config_class.load(None, environ=environ, overrides={}).broker.keepalive == keepalive


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[brokr]\n", "unknown table [brokr]; did you mean broker?"),
        ('[broker]\nulr = "x"\n', "unknown key broker.ulr; did you mean broker.url?"),
        ('[watch]\nurl = "x"\n', "unknown key watch.url; did you mean broker.url?"),
        ("[watch]\nzzz = 1\n", "unknown key watch.zzz"),
        ('[watch]\npoll = "allways"\n', "watch.poll must be one of auto, always, never; did you mean always?"),
        ("[watch]\npoll = true\n", "watch.poll must be one of auto, always, never"),
        ("[watch]\nsettle = true\n", "watch.settle must be a number of seconds from 0.01 to 86400"),
        ("[watch]\nsettle = nan\n", "watch.settle must be a number of seconds from 0.01 to 86400"),
        ('[watch]\nsettle = "1"\n', "watch.settle must be a number of seconds from 0.01 to 86400"),
        ("[watch]\nsettle = 90\n", "watch.stuck_after must not be shorter than watch.settle"),
        ('[watch]\nfolder = ["a"]\n', 'watch.folder must be a path, or "" for none'),
        ('[watch]\ncapture_fallbacks = ["clock"]\n', "watch.capture_fallbacks must be a list of operator"),
        ('[watch]\ncapture_fallbacks = ["mtime", "mtime"]\n', "watch.capture_fallbacks must be a list of operator"),
        ('[watch]\nignore = "*.bak"\n', "watch.ignore must be a list of name patterns"),
        ('[watch]\noriginal = "move"\n', 'watch.original is "move", but watch.move_to is not set'),
        ('[watch]\nfolder = "a"\nmove_to = "a/done"\n', "watch.move_to must not lie inside watch.folder"),
        ('[watch]\nfolder = "."\n', "device.key must not lie inside watch.folder"),
        ('[watch]\nfolder = "state"\n', "device.state must not lie inside watch.folder"),
        ('[transfer]\nbandwidth = "1 kB"\n', "transfer.bandwidth is too low for images to arrive"),
        ('[transfer]\norder = "newst"\n', "transfer.order must be one of oldest, newest; did you mean newest?"),
        ('[transfer]\nurgent = ["ward/stat"]\n', "transfer.urgent must be a list of name patterns"),
        ("[broker]\nkeepalive = 1.5\n", "broker.keepalive must be a whole number from 5 to 3600"),
        ('[broker]\nca_file = "ca.pem"\n', "broker.ca_file and broker.cert_file need TLS"),
        ('[broker]\nurl = "mqtts://h"\ncert_file = "c"\n', "broker.cert_file and broker.key_file are set together"),
        ('[broker]\npassword_file = "p"\n', "broker.password_file is set, but broker.username is not"),
        ("[transfer]\nchunk_size = 16383\n", "transfer.chunk_size must be bytes"),
        ('[transfer]\nchunk_size = "2 MiB"\n', "from 16 KiB to 1 MiB"),
        ('[transfer]\nchunk_size = "many"\n', "transfer.chunk_size must be bytes"),
        ("[transfer]\noffer_max = 5\n", "transfer.offer_max must not be shorter than transfer.offer_first"),
        ('[device]\nid = "CT 1"\n', "device.id must be 3 to 48 of the characters a-z, 0-9 and -"),
    ],
)
def test_each_refusal_names_the_key_and_what_is_allowed(write, text, message):
    text = text if text.startswith("[device]") else DEVICE + text
    with pytest.raises(ConfigError) as caught:
        load(write(text))
    assert caught.value.message.startswith(message) or message in caught.value.message
    assert caught.value.exit_code == ExitCode.CONFIG


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "device.id is not set"),
        ('[device]\nid = "ct-1"\n', "device.audience is not set"),
        ('id = "ct-1"\n' + DEVICE, "unknown key id; did you mean device.id?"),
        ('broker = "mqtt://h"\n' + DEVICE, "broker must be a table"),
        ("[device\n", "config.toml is not TOML"),
        ("[device]\nid = ct-1\n", "config.toml is not TOML"),
    ],
)
def test_a_whole_file_is_refused_with_a_hint(write, text, message):
    with pytest.raises(ConfigError) as caught:
        load(write(text))
    assert caught.value.message.startswith(message)
    assert caught.value.hint


def test_what_is_no_text_and_what_is_no_file_is_refused(tmp_path):
    path = tmp_path / "config.toml"
    with pytest.raises(ConfigError, match=r"config\.toml cannot be read: No such file"):
        load(path)
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"config\.toml is not TOML"):
        load(path)
    path.write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(ConfigError, match="larger than any configuration"):
        load(path)


def test_an_unknown_variable_is_refused_with_the_nearest_one(minimal):
    with pytest.raises(ConfigError, match="EDGE_ENCRYPTOR_BROKER_ULR; did you mean EDGE_ENCRYPTOR_BROKER_URL"):
        load(minimal, {"EDGE_ENCRYPTOR_BROKER_ULR": "mqtt://h"})


def test_a_refusal_says_who_set_the_value_and_does_not_repeat_it(minimal):
    with pytest.raises(ConfigError) as caught:
        load(minimal, {"EDGE_ENCRYPTOR_BROKER_URL": "mqtt://user:secret@host"})
    assert "EDGE_ENCRYPTOR_BROKER_URL" in caught.value.hint
    assert "secret" not in caught.value.message + caught.value.hint
    with pytest.raises(ConfigError) as caught:
        load(minimal, transfer__outstanding="x")
    assert caught.value.hint == "it is set by the command line"


def test_an_unknown_override_is_refused(minimal):
    with pytest.raises(ConfigError, match=r"unknown key broker\.uri; did you mean broker\.url"):
        load(minimal, broker__uri="mqtt://h")


# --- kinds ----------------------------------------------------------------------------------------------------------


def test_links_hide_no_state_in_the_watched_folder(minimal, tmp_path):
    (tmp_path / "own" / "x").mkdir(parents=True)
    (tmp_path / "scans").symlink_to("own")
    (tmp_path / "here").symlink_to(".")
    for folder in ("scans", "here/scans", "own/x/../../scans", "own/x/.."):
        with pytest.raises(ConfigError, match=r"device\.state must not lie inside watch.folder"):
            load(minimal, watch__folder=tmp_path / folder, device__state=tmp_path / "own" / "state")
    assert load(minimal, watch__folder=tmp_path / "scans", device__state=tmp_path / "state").watch.folder is not None


def test_a_loop_of_links_is_no_crash(minimal, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    assert load(minimal, watch__folder=tmp_path / "loop").watch.folder == tmp_path / "loop"


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("mqtt://127.0.0.1", "127.0.0.1", 1883, False),
        ("mqtts://broker.example:8884/", "broker.example", 8884, True),
        ("mqtts://[::1]", "::1", 8883, True),
    ],
)
def test_broker_urls_give_host_port_and_tls(minimal, url, host, port, tls):
    broker = load(minimal, broker__url=url).broker
    assert (broker.host, broker.port, broker.tls) == (host, port, tls)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "broker",
        "tcp://h",
        "mqtt://",
        "mqtt://h:x",
        "mqtt://h:0",
        "mqtt://h:70000",
        "mqtt://[::1",
        "mqtt://u@h",
        "mqtt://h/a",
        "mqtt://h?a",
        "mqtt://h#a",
        "mqtt://h h",
    ],
)
def test_other_broker_urls_are_refused(minimal, url):
    with pytest.raises(ConfigError, match=r"broker\.url"):
        load(minimal, broker__url=url)


@pytest.mark.parametrize("prefix", ["edge", "site-a/edge/v1", "a.b/c"])
def test_topic_prefixes_of_one_to_three_levels_are_taken(minimal, prefix):
    assert load(minimal, broker__prefix=prefix).broker.prefix == prefix


@pytest.mark.parametrize("prefix", ["", "/a", "a/", "a//b", "a/b/c/d", "a/+", "#", "$SYS/a", "a b", "ä", "a" * 65])
def test_other_topic_prefixes_are_refused(minimal, prefix):
    with pytest.raises(ConfigError, match=r"broker\.prefix"):
        load(minimal, broker__prefix=prefix)


UNITS = {"": 1, "B": 1, "kB": 10**3, "KB": 10**3, "KiB": 2**10, "MB": 10**6, "mib": 2**20, "GB": 10**9, "GiB": 2**30}


@given(number=st.integers(0, 1000), unit=st.sampled_from(sorted(UNITS)), space=st.sampled_from(["", " "]))
def test_sizes_have_decimal_and_binary_units(minimal, number, unit, space):
    config = load(minimal, spool__reserve_bytes=f"{number}{space}{unit}")
    assert config.spool.reserve_bytes == number * UNITS[unit]


@given(size=st.integers(1, 2**40))
def test_a_plain_number_is_a_size_in_bytes(minimal, size):
    assert load(minimal, spool__max_bytes=size).spool.max_bytes == size


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(name=st.sampled_from([key.name for key in DeviceConfig.describe()]), value=anything)
def test_any_value_gives_a_configuration_or_a_config_error(minimal, name, value):
    try:
        config = DeviceConfig.load(minimal, environ={}, overrides={name: value})
    except ConfigError as error:
        assert error.hint or "must not" in error.message or "is set" in error.message  # noqa: PT017
    else:
        assert isinstance(config, DeviceConfig)


@given(key=st.sampled_from(DeviceConfig.describe()), text=st.text(max_size=20))
def test_any_variable_gives_a_configuration_or_a_config_error(minimal, key, text):
    try:
        config = load(minimal, {key.environment: text})
    except ConfigError as error:
        # Either the value is refused, or the key contradicts another: the message then names both.
        assert key.environment in error.hint or key.name in error.message  # noqa: PT017
    else:
        assert isinstance(config, DeviceConfig)


# --- description ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config_class", "text"), [(DeviceConfig, DEVICE), (ReceiverConfig, RECEIVER)], ids=["device", "receiver"]
)
def test_the_described_defaults_are_a_configuration_that_equals_the_defaults(config_class, text, write):
    table, lines = "", []
    for key in config_class.describe():
        if not key.name.startswith(f"{table}."):
            table = key.name.partition(".")[0]
            lines.append(f"[{table}]")
        if key.default is None:
            lines += [line for line in text.splitlines() if line.startswith(f"{key.name.partition('.')[2]} =")]
        else:
            lines.append(f"{key.name.partition('.')[2]} = {key.default}")
    written = config_class.load(write("\n".join(lines), "described.toml"), environ={}, overrides={})
    assert written == config_class.load(write(text), environ={}, overrides={})


def test_every_key_has_a_meaning_and_a_variable_of_its_own():
    for config_class in (DeviceConfig, ReceiverConfig):
        described = config_class.describe()
        assert all(key.meaning and key.expected for key in described)
        assert len({key.environment for key in described}) == len(described)
    assert {key.name for key in DeviceConfig.describe() if key.default is None} == {"device.id", "device.audience"}


def test_configurations_are_frozen_and_keyword_only():
    config = DeviceConfig(device=DeviceTable(id="ct-1", audience="hospital"))
    with pytest.raises(AttributeError):
        config.broker = BrokerTable()
    with pytest.raises(TypeError):
        DeviceTable("ct-1", "hospital")


def test_the_pixels_of_a_file_are_no_reason_to_delete_it(minimal):
    with pytest.raises(ConfigError, match="do not travel"):
        load(minimal, watch__original="delete", cipher__domain="pixels")

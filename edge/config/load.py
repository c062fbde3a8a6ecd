"""Load a configuration: gather what file, environment and flags say, parse each value by its key's kind, fill the tables.

Rule: whatever was given is checked, even where something of higher precedence replaces it. A refused value is never
repeated in the message: a password may stand in it, and the message may reach a log.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Final, Self, get_args, get_type_hints

from edge.config.kinds import Kind
from edge.config.tables import Setting
from edge.errors import ConfigError

FILE_MAX_BYTES: Final = 1 << 20
"""A configuration is a few kilobytes; more is another file."""
SYSTEM_FOLDER: Final = Path("/etc/edge-encryptor")


@dataclass(frozen=True, slots=True)
class Described:
    """One key as documentation shows it; `default` is written in TOML, or None where the key must be set."""

    name: str
    environment: str
    expected: str
    default: str | None
    meaning: str


@dataclass(frozen=True, slots=True)
class _Key:
    """One key as its table defines it. `default` is MISSING where it must be set."""

    setting: Setting
    default: object

    @property
    def kind(self) -> Kind:
        return self.setting.kind


@dataclass(frozen=True, slots=True)
class _Given:
    """A value that someone gave: for which key, who says so, and what its relative paths are relative to."""

    name: str
    value: object
    origin: str
    folder: Path


class Loadable:
    """What both configurations do; a subclass's fields are its tables."""

    __slots__ = ()

    variable_prefix: ClassVar[str]
    usual_folder: ClassVar[str]

    @classmethod
    def load(cls, path: Path | None, *, environ: Mapping[str, str], overrides: Mapping[str, object]) -> Self:
        """Return the configuration from `path`, `environ` and `overrides` (flags by dotted name; None: not given).

        Relative paths in the file, and those of defaults, are relative to the file's folder; those of the environment
        and of flags to the working directory. Without `path`, the variable that ends in _CONFIG names the file, else
        it is ./FOLDER/config.toml, else the system's FOLDER/config.toml, where FOLDER is device or receiver.

        Raises:
            ConfigError: no file, not TOML, an unknown table, key or variable, a key that must be set and is not, or a
                value that is not allowed.
        """
        path = path or cls._find(environ)
        known = cls._keys()
        values: dict[str, Any] = {
            name: _resolve(key.kind, key.default, path.absolute().parent)
            for name, key in known.items()
            if key.default is not MISSING
        }
        for given in (*_from_file(path, known), *cls._from_environment(environ, known), *_from_flags(overrides, known)):
            values[given.name] = _parse(known[given.name].kind, given)
        for name in known:
            if name not in values:
                raise ConfigError(f"{name} is not set", hint=f"set it in {path.name}, or run: edge-firmware provision")
        tables = {
            name: table(**{key.name: values[f"{name}.{key.name}"] for key in fields(table)})
            for name, table in cls._tables().items()
        }
        return cls(**tables)

    @classmethod
    def describe(cls) -> tuple[Described, ...]:
        """Return every key in the order of the tables: what documentation and written configurations are made from."""
        return tuple(
            Described(
                name=name,
                environment=cls._variable(name),
                expected=key.kind.expected,
                default=None if key.default is MISSING else key.kind.show(key.default),
                meaning=key.setting.meaning,
            )
            for name, key in cls._keys().items()
        )

    @classmethod
    def _tables(cls) -> dict[str, type[Any]]:
        # Annotated, not ClassVar: what a dataclass makes a field of.
        hints = get_type_hints(cls)
        return {name: hint for name, hint in hints.items() if isinstance(hint, type)}

    @classmethod
    def _keys(cls) -> dict[str, _Key]:
        """Return every key by its dotted name."""
        found = {}
        for name, table in cls._tables().items():
            hints = get_type_hints(table, include_extras=True)
            for key in fields(table):
                found[f"{name}.{key.name}"] = _Key(get_args(hints[key.name])[1], key.default)
        return found

    @classmethod
    def _variable(cls, name: str) -> str:
        return f"{cls.variable_prefix}_{name.replace('.', '_').upper()}"

    @classmethod
    def _find(cls, environ: Mapping[str, str]) -> Path:
        if named := environ.get(f"{cls.variable_prefix}_CONFIG"):
            return Path(named)
        usual = Path(cls.usual_folder, "config.toml")
        for candidate in (usual, SYSTEM_FOLDER / usual):
            if candidate.is_file():
                return candidate
        raise ConfigError(
            f"no configuration was found: there is neither {usual} here nor one for the whole system",
            hint=f"run edge-firmware provision first, then give --config FILE or set {cls.variable_prefix}_CONFIG",
        )

    @classmethod
    def _from_environment(cls, environ: Mapping[str, str], known: Mapping[str, _Key]) -> Iterator[_Given]:
        names = {cls._variable(name): name for name in known}
        for variable in sorted(environ):
            if not variable.startswith(f"{cls.variable_prefix}_") or variable == f"{cls.variable_prefix}_CONFIG":
                continue
            if variable not in names:
                raise ConfigError(
                    f"unknown environment variable {variable}{_nearest(variable, names)}",
                    hint=f"variables are named {cls.variable_prefix}_TABLE_KEY, as {cls._variable('broker.url')} is",
                )
            given = _Given(names[variable], environ[variable], f"the environment variable {variable}", Path.cwd())
            yield _from_text(known[given.name].kind, given)


def _from_file(path: Path, known: Mapping[str, _Key]) -> Iterator[_Given]:
    tables = {name.partition(".")[0] for name in known}
    for table, keys in _document(path).items():
        if table not in tables and not isinstance(keys, dict):
            raise ConfigError(f"unknown key {table}{_nearest(table, known)}", hint="every key stands below a [table]")
        if table not in tables:
            raise ConfigError(
                f"unknown table [{table}]{_nearest(table, tables)}", hint=f"the tables are {', '.join(sorted(tables))}"
            )
        if not isinstance(keys, dict):
            raise ConfigError(f"{table} must be a table", hint=f"write [{table}] on a line of its own, its keys below")
        for key, value in keys.items():
            yield _Given(_known(f"{table}.{key}", known), value, path.name, path.absolute().parent)


def _document(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as source:
            data = source.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path.name} cannot be read: {error.strerror}", hint="check --config") from error
    if len(data) > FILE_MAX_BYTES:
        raise ConfigError(f"{path.name} is larger than any configuration", hint="check --config")
    try:
        return tomllib.loads(data.decode())
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path.name} is not TOML: {error}", hint="texts stand in double quotes") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path.name} is not TOML", hint="it must be UTF-8 text") from error


def _from_flags(overrides: Mapping[str, object], known: Mapping[str, _Key]) -> Iterator[_Given]:
    for name, value in overrides.items():
        if value is not None:
            given = _Given(_known(name, known), value, "the command line", Path.cwd())
            yield _from_text(known[name].kind, given) if isinstance(value, str) else given


def _from_text(kind: Kind, given: _Given) -> _Given:
    try:
        return _Given(given.name, kind.from_text(str(given.value)), given.origin, given.folder)
    except ValueError as error:
        raise _refusal(kind, given) from error


def _parse(kind: Kind, given: _Given) -> Any:
    try:
        return _resolve(kind, kind.parse(given.value), given.folder)
    except (ValueError, TypeError) as error:
        raise _refusal(kind, given) from error


def _resolve(kind: Kind, value: Any, folder: Path) -> Any:
    if not kind.is_path or value is None:
        return value
    return tuple(folder / each for each in value) if isinstance(value, tuple) else folder / value


def _refusal(kind: Kind, given: _Given) -> ConfigError:
    near = _nearest(given.value, kind.choices) if isinstance(given.value, str) else ""
    return ConfigError(f"{given.name} must be {kind.expected}{near}", hint=f"it is set by {given.origin}")


def _known(name: str, known: Mapping[str, _Key]) -> str:
    if name not in known:
        table = name.partition(".")[0]
        keys = [key.partition(".")[2] for key in known if key.startswith(f"{table}.")]
        raise ConfigError(
            f"unknown key {name}{_nearest(name, known)}", hint=f"the keys of [{table}] are {', '.join(keys)}"
        )
    return name


def _nearest(name: str, candidates: Iterable[str]) -> str:
    """Return "; did you mean X?" for the candidate nearest to `name`: the same key of another table before a likeness."""
    names = tuple(candidates)
    leaf = name.rpartition(".")[2]
    same = [each for each in names if each.rpartition(".")[2] == leaf]
    near = same or difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""

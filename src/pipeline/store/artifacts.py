"""Atomic, schema-checked, manifest-carrying read and write of every file the pipeline makes.

A file appears under its name only when it is complete. Its manifest (schema version, digests of
source, configuration and inputs, library versions, seed, device, dtype) holds no clock, host name
or path, so equal runs give equal bytes. It also holds a digest of the values themselves: file
formats check at best their structure, so a flipped bit in a number would otherwise be read as
another number.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import UserError, writing
from pipeline.store import digest

MANIFEST_KEY = "manifest"
_CONTENT_KEY = "content"
#: The longest header that the format allows; without a limit a damaged length could ask for any
#: amount of memory.
_LONGEST_HEADER = 100 << 20


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Where an artifact comes from; `inputs` maps input names to digests of their files, and
    `identity` says which of a study's artifacts it is (`Study.folders`)."""

    rule: str
    source: str
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    inputs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    seed: int | None = None
    device: str = "cpu"
    dtype: str | None = None
    identity: str | None = None

    def text(self, schema: str, version: int) -> str:
        """The manifest as one JSON line, with the schema it was written under."""
        body = {"schema": schema, "schema_version": version, **dataclasses.asdict(self)}
        return json.dumps(body, sort_keys=True)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that becomes `path` when the block ends without an error.

    Temporary files that a killed writer of the same `path` left are removed first: only one job at
    a time writes a file, so nobody uses them. UserError when the disk is full or read-only.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for stale in _leftovers(path):
            stale.unlink(missing_ok=True)
        try:
            yield partial
            with open(partial, "rb+") as stream:
                os.fsync(stream.fileno())
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def moved_into(folder: Path) -> Iterator[Path]:
    """A new empty folder, whose files stand in `folder` when the block ends without an error.

    For files that other programs write. What a killed writer of the same folder left is removed
    first. UserError as `replacing`.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob(".*.partial"):
            shutil.rmtree(stale, ignore_errors=True)
        place = folder / f".{os.getpid()}.partial"
        place.mkdir()
        try:
            yield place
            for path in sorted(place.iterdir()):
                with open(path, "rb+") as stream:
                    os.fsync(stream.fileno())
                os.replace(path, folder / path.name)
        finally:
            shutil.rmtree(place, ignore_errors=True)


def _leftovers(path: Path) -> list[Path]:
    # An exact match, since `.a.json.7.partial` is not a leftover of `a`.
    name = re.compile(re.escape(f".{path.name}.") + r"\d+\.partial")
    return [found for found in path.parent.iterdir() if name.fullmatch(found.name)]


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, schema: str, version: int, body: Any, manifest: Manifest) -> None:
    """Write a JSON document {manifest, body}. Non-finite numbers are refused (ValueError)."""
    plain = json.loads(json.dumps(body, allow_nan=False))
    sealed = json.loads(_sealed(manifest.text(schema, version), digest.of_value(plain)))
    document = {MANIFEST_KEY: sealed, "body": plain}
    write_text(path, json.dumps(document, indent=1, sort_keys=True) + "\n")


def read_json(path: Path, schema: str, version: int) -> Any:
    """The body of a JSON document written as `schema`; UserError when it is anything else."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        manifest, body = document[MANIFEST_KEY], document["body"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _unreadable(path, f"not a {schema} document ({error})") from error
    _check(path, manifest, schema, version, digest.of_value(body))
    return body


def write_parquet(path: Path, schema: str, version: int, table: Any, manifest: Manifest) -> None:
    """Write a pyarrow table whose schema metadata is the manifest alone."""
    import pyarrow.parquet as pq

    metadata = {MANIFEST_KEY: _sealed(manifest.text(schema, version), _of_table(table))}
    with replacing(path) as partial:
        pq.write_table(table.replace_schema_metadata(metadata), partial, compression="zstd")


def read_parquet(path: Path, schema: str, version: int) -> Any:
    """A pyarrow table written as `schema`; UserError when the file is damaged or foreign."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, partitioning=None)
        manifest = json.loads(table.schema.metadata[MANIFEST_KEY.encode()])
        # Damaged text is found only when it is decoded.
        content = _of_table(table)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise _unreadable(path, f"not a {schema} table ({error})") from error
    _check(path, manifest, schema, version, content)
    return table


def write_safetensors(
    path: Path, schema: str, version: int, tensors: Mapping[str, Any], manifest: Manifest
) -> None:
    """Write numpy arrays; the manifest is one string, since several keys have no fixed order."""
    import numpy as np
    from safetensors.numpy import save_file

    # save_file writes an array's memory as it lies, whatever its order.
    plain = {name: np.array(value, order="C") for name, value in sorted(tensors.items())}
    sealed = _sealed(manifest.text(schema, version), _of_arrays(plain))
    with replacing(path) as partial:
        save_file(plain, partial, metadata={MANIFEST_KEY: sealed})


def read_safetensors(path: Path, schema: str, version: int) -> dict[str, Any]:
    """Numpy arrays written as `schema`; UserError when the file is damaged or foreign."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as stream:
            manifest = json.loads(stream.metadata()[MANIFEST_KEY])
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise _unreadable(path, f"not a {schema} file ({error})") from error
    _check(path, manifest, schema, version, _of_arrays(tensors))
    return tensors


def check_identity(path: Path, identity: str) -> None:
    """Raise UserError when `path` holds the artifact of another condition or study, or of none.

    A file that cannot be read passes: its reader says what is wrong with it.
    """
    try:
        manifest = manifest_of(path)
    except UserError:
        return
    if manifest.get("identity") != identity:
        raise _unreadable(
            path, f"made by rule {manifest.get('rule')} for another condition, study or version"
        )


def manifest_of(path: Path) -> dict[str, Any]:
    """The manifest of an artifact; UserError when the file is cut short, or carries no manifest.

    Cheap, for planning: only reading the artifact checks that its values are those that were
    written.
    """
    try:
        manifest = _MANIFESTS[path.suffix](path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable(path, f"no whole artifact with a manifest ({error})") from error
    if not isinstance(manifest, dict):
        raise _unreadable(path, "no artifact (its manifest holds no keys)")
    return manifest


def _parquet_manifest(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return json.loads(pq.read_metadata(path).metadata[MANIFEST_KEY.encode()])
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error


def _json_manifest(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))[MANIFEST_KEY]


def _safetensors_manifest(path: Path) -> Any:
    with open(path, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(min(length, _LONGEST_HEADER)))
        size = os.fstat(stream.fileno()).st_size
    manifest = json.loads(header.pop("__metadata__")[MANIFEST_KEY])
    if size != 8 + length + max((array["data_offsets"][1] for array in header.values()), default=0):
        raise ValueError("its size is not the one that its header gives")
    return manifest


_MANIFESTS = {
    ".parquet": _parquet_manifest,
    ".json": _json_manifest,
    ".safetensors": _safetensors_manifest,
}


def input_digests(paths: Mapping[str, Path]) -> dict[str, str]:
    """Digests of a job's input files, by their names in the rule."""
    return {name: digest.of_file(path) for name, path in sorted(paths.items())}


def _check(path: Path, manifest: Any, schema: str, version: int, content: str) -> None:
    if not isinstance(manifest, dict):
        raise _unreadable(path, f"not a {schema} file (its manifest holds no keys)")
    found = (manifest.get("schema"), manifest.get("schema_version"))
    if found != (schema, version):
        raise _unreadable(path, f"schema {found[0]} version {found[1]}, not {schema} {version}")
    seal = manifest.pop(_CONTENT_KEY, None)
    if seal != digest.of_value([manifest, content]):
        raise _unreadable(path, "its values are not those that were written")


def _sealed(manifest: str, content: str) -> str:
    """The manifest with a digest of itself and of the content, as one JSON line."""
    body = json.loads(manifest)
    return json.dumps(body | {_CONTENT_KEY: digest.of_value([body, content])}, sort_keys=True)


def _of_arrays(arrays: Mapping[str, Any]) -> str:
    """Digest of numpy arrays: names, types, shapes and bytes."""
    facts = {
        name: [str(array.dtype), list(array.shape), digest.of_bytes(array.tobytes())]
        for name, array in arrays.items()
    }
    return digest.of_value(facts)


def _of_table(table: Any) -> str:
    """Digest of a pyarrow table's names and values, whatever its chunks and text types."""
    hashed = hashlib.blake2b(digest_size=16)
    for name, column in zip(table.column_names, table.columns, strict=True):
        hashed.update(f"{name}/".encode())
        _add_column(hashed, column.combine_chunks())
    return hashed.hexdigest()


def _add_column(hashed: Any, array: Any) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    hashed.update(f"{len(array)}/".encode())
    hashed.update(array.is_valid().to_numpy(zero_copy_only=False).tobytes())
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        lengths = pc.fill_null(pc.list_value_length(array).cast("int64"), 0)
        hashed.update(lengths.to_numpy().tobytes())
        _add_column(hashed, array.flatten())
        return
    present = array.drop_null()
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        hashed.update(present.to_numpy(zero_copy_only=False).tobytes())
    else:
        for value in present.to_pylist():
            hashed.update(f"{value!r},".encode())


def _unreadable(path: Path, check: str) -> UserError:
    # On one line: messages of libraries may hold line breaks.
    return UserError(
        f"{path}: {' '.join(check.split())}. Remove the file and run the same command again; "
        f"it makes what is missing: rm {path}"
    )

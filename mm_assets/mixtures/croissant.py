"""MLCommons Croissant metadata of a release: files with their hashes, and the fields of a line.

Source: https://docs.mlcommons.org/croissant/docs/croissant-spec.html (version 1.0).
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from mm_assets.fusion.release_format import SAMPLES_FOLDER, FileRecord

_CONTEXT: Final = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_ENCODINGS: Final = {
    ".jsonl": "application/jsonlines",
    ".json": "application/json",
    ".md": "text/markdown",
    ".safetensors": "application/octet-stream",
}
_FIELDS: Final = {
    "id": ("sc:Text", "Identifier of the sample."),
    "kind": ("sc:Text", "Kind of the sample."),
    "content": ("sc:Text", "Text with placeholders in place."),
    "visual_features_path": ("sc:Text", "Shard and row of the visual features, as path#row."),
    "audio_features_path": ("sc:Text", "Shard and row of the audio features, as path#row."),
    "pool": ("sc:Text", "Mixture pool."),
    "weight": ("sc:Float", "How often the sample is drawn in a pass."),
    "batch": ("sc:Text", "Ingest batch."),
    "source": ("sc:Text", "Who delivered the record."),
    "license": ("sc:Text", "Licence of the record."),
    "placeholder_version": ("sc:Text", "Version of the placeholder syntax."),
    "review_status": ("sc:Text", "Verdict of a person, if any."),
    "split": ("sc:Text", "train, validation or test."),
}


def write_croissant(
    release: str, description: str, licenses: Mapping[str, int], version: str, files: Sequence[FileRecord]
) -> bytes:
    """JSON-LD for the release.

    Args:
        release: its name.
        description: one sentence.
        licenses: samples per licence.
        version: version of the code that made it.
        files: files it describes; one record set is written per samples file.
    """
    samples = [file for file in files if file.path.startswith(f"{SAMPLES_FOLDER}/")]
    document = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": release,
        "description": description,
        "citeAs": f"{release}, a release of mm-assets {version}",
        "license": sorted(licenses),
        "version": version,
        "distribution": [_file_object(file) for file in files],
        "recordSet": [_record_set(file) for file in samples],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _file_object(file: FileRecord) -> dict[str, object]:
    suffix = file.path[file.path.rindex(".") :]
    return {
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path,
        "contentSize": f"{file.size_bytes} B",
        "contentUrl": file.path,
        "encodingFormat": _ENCODINGS.get(suffix, "application/octet-stream"),
        "sha256": file.sha256,
    }


def _record_set(file: FileRecord) -> dict[str, object]:
    name = file.path.removesuffix(".jsonl").replace("/", "-")
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"Fusion samples of {file.path}, one per line.",
        "key": {"@id": f"{name}/id"},
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{name}/{field}",
                "name": field,
                "description": description,
                "dataType": data_type,
                "source": {"fileObject": {"@id": file.path}, "extract": {"column": field}},
            }
            for field, (data_type, description) in _FIELDS.items()
        ],
    }

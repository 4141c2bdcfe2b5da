"""Manifests: declarative recipes in TOML."""

from jitkit.manifest.reader import parse_manifest, read_manifest
from jitkit.manifest.schema import Eval, Guidance, Manifest, Teacher, Train, Use, Weights
from jitkit.manifest.source import ManifestSource
from jitkit.manifest.writer import manifest_to_toml

__all__ = [
    "Eval",
    "Guidance",
    "Manifest",
    "ManifestSource",
    "Teacher",
    "Train",
    "Use",
    "Weights",
    "manifest_to_toml",
    "parse_manifest",
    "read_manifest",
]

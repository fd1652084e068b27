"""The catalogue of data sets: what is known about each, where its files are, and reading them by name."""

from polytag.data.catalogue.download import Download
from polytag.data.catalogue.fetching import fetch, missing
from polytag.data.catalogue.folders import cache_folder, data_folders
from polytag.data.catalogue.listing import Entry, Expected, RemoteFile, entries, entry, names
from polytag.data.catalogue.loading import load_dataset, load_parts

__all__ = [
    "Download",
    "Entry",
    "Expected",
    "RemoteFile",
    "cache_folder",
    "data_folders",
    "entries",
    "entry",
    "fetch",
    "load_dataset",
    "load_parts",
    "missing",
    "names",
]

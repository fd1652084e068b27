"""Readers of the field's file formats; each returns a ``Dataset`` or raises a ``ReadError`` that names file and line."""

from polytag.data.readers.arff import read_arff
from polytag.data.readers.cifar import read_cifar
from polytag.data.readers.clus import read_clus
from polytag.data.readers.frame import read_table
from polytag.data.readers.images import read_images
from polytag.data.readers.libsvm import read_libsvm
from polytag.data.readers.mat import read_mat
from polytag.data.readers.texts import read_texts
from polytag.data.readers.xml_labels import read_xml_labels

__all__ = ["read_arff", "read_cifar", "read_clus", "read_images", "read_libsvm", "read_mat", "read_table", "read_texts", "read_xml_labels"]

"""How fast ARFF files are read, and with how much memory, against liac-arff in the same run.

Time is processor time from the compressed file to arrays, the least of several repeats. liac-arff runs in the mode that suits it best for
each file: ``DENSE`` for dense rows; for sparse rows the faster of ``LOD`` and ``COO``. It stops at Python lists, while polytag's time
includes finding the labels and building X and Y. Memory is the peak that ``tracemalloc`` sees over the size of what comes back: polytag's
X and Y with their names. The last column is the peak of liac-arff over that same size.
"""

import argparse
import gzip
import os
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import arff

from polytag.data.readers import read_arff

FILES = {
    "bibtex": "mulan/bibtex/bibtex.arff.gz",
    "corel5k": "mulan/corel5k/Corel5k-sparse.arff.gz",
    "slashdot fold": "rumdr-cv/slashdot/SLASHDOT-5x2x1-1tst.arff.gz",
    "yeast": "mulan/yeast/yeast.arff.gz",
    "scene": "mulan/scene/scene-train.arff.gz",
    "meka/Imdb": "meka/Imdb.arff.gz",
}


def fastest(read: Callable[[], Any], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.process_time()
        read()
        times.append(time.process_time() - start)
    return min(times)


def peak(read: Callable[[], Any]) -> tuple[int, Any]:
    tracemalloc.start()
    result = read()
    highest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return highest, result


def size(data: Any) -> int:
    arrays = sum(m.data.nbytes + m.indices.nbytes + m.indptr.nbytes if hasattr(m, "indptr") else m.nbytes for m in (data.X, data.Y))
    return arrays + sum(map(sys.getsizeof, (*data.feature_names, *data.label_names)))


def liac(path: Path, mode: int) -> Any:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return arff.load(file, return_type=mode)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("POLYTAG_DATA", "../shared/data")), help="folder of real data")
    parser.add_argument("--repeats", type=int, default=9, help="repeats of polytag (liac-arff: a third)")
    parser.add_argument("--files", nargs="*", default=[name for name in FILES if name != "meka/Imdb"], choices=list(FILES))
    options = parser.parse_args()
    print(f"{'file':14} {'polytag ms':>10} {'liac ms':>10} {'faster':>8} {'of which gunzip':>16} {'memory':>8} {'liac memory':>12}")
    for name in options.files:
        path = options.data / FILES[name]
        ours = fastest(lambda path=path: read_arff(path), options.repeats)
        unpack = fastest(lambda path=path: gzip.decompress(path.read_bytes()), options.repeats)
        ours_peak, data = peak(lambda path=path: read_arff(path))
        modes = [arff.LOD, arff.COO] if hasattr(data.X, "indptr") else [arff.DENSE]
        repeats = max(1, options.repeats // 3)
        theirs, mode = min((fastest(lambda path=path, mode=mode: liac(path, mode), repeats), mode) for mode in modes)
        theirs_peak, _ = peak(lambda path=path, mode=mode: liac(path, mode))
        whole = size(data)
        print(
            f"{name:14} {ours * 1e3:10.1f} {theirs * 1e3:10.1f} {theirs / ours:7.1f}x {unpack * 1e3:13.1f} ms "
            f"{ours_peak / whole:7.1f}x {theirs_peak / whole:11.1f}x"
        )


if __name__ == "__main__":
    main()

"""Named protocols: what each says about training, and how it cuts and prepares the rows."""

from collections.abc import Mapping
from typing import Any

from polytag import registry
from polytag.data import prepare

PUBLISHED = "published"
"""``split["parts"]`` of protocols that train and test on published ones; ``split["valid_from"]`` for a validation part of them."""

JOINED = "joined"
"""``split["valid_from"]`` of protocols that train on the published training and validation parts together, without validation rows."""

TRAINING_PRESETS: Mapping[str, Mapping[str, Any]] = {
    "clean": {},
    "authors-2024": {
        "epochs": 101,
        "lr": 1e-4,
        "weight_decay": 1e-4,
        "warmup_epochs": 3,
        "keep": "last",
        "compat": "authors",
        "model_preset": "adabatch",
        "plain_random": True,
    },
    "flem-2022": {
        "epochs": 30,
        "batch_size": 64,
        "lr": 1e-3,
        "weight_decay": 1e-4,
        "optimizer": "adamw",
        "optimizer_params": {"amsgrad": True},
        "monitor": "hamming_loss",
        "keep": "best",
        "undefined": "skip",
    },
    "chmcnn-2020": {
        "epochs": 100,
        "batch_size": 4,
        "lr": 1e-4,
        "weight_decay": 1e-5,
        "optimizer": "adam",
        "optimizer_params": {"fused": True},
        "monitor": "micro_ap",
        "keep": "last",
        "measure_train_loss": False,
    },
}
"""What a named protocol says about training."""

DATA_PRESETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    **prepare.PRESETS,
    "flem-2022": {"split": {"parts": PUBLISHED, "valid": 0.25, "order": 1}, "preparation": {"scale": "none"}},
    "chmcnn-2020": {
        "split": {"parts": PUBLISHED, "valid_from": JOINED, "valid": 0.0, "order": 1},
        "preparation": {"scale": "standard", "missing": "mean"},
    },
}
"""What a named protocol says about the split and the preparation.

``flem-2022`` is the protocol of Zhao, An, Xu and Geng, "Fusion label enhancement for multi-label learning", IJCAI 2022: published parts,
features as they are, and the epoch with the lowest Hamming loss on the validation rows. The conventions of its metrics are those that
``polytag.metrics`` has anyway: a tied pair is an error of the ranking loss and a row with no or all labels has none, the coverage of a row
without labels is ``-1/q``, and labels that nobody in the test part has are left out of the mean average precision (``undefined="skip"``).

``chmcnn-2020`` is the final training of Giunchiglia and Lukasiewicz, "Coherent hierarchical multi-label classification networks", NeurIPS
2020: the published training and validation rows together, columns brought to mean 0 and deviation 1, Adam with L2 penalty (in the gradient)
on batches of 4, and the weights of the last epoch. Their code fills in missing values by the means of each part on its own; here it is the
training rows' means everywhere. Width, epochs and learning rate are stated for each data set, see ``polytag reproduce chmcnn-2020``.
"""


def filled_split(preset: str, given: Mapping[str, Any], folds: int | None) -> dict[str, Any]:
    """Return the switches of the split with what the preset says filled in.

    A preset of published parts that is asked for several folds cuts them like the clean protocol.
    """
    own = DATA_PRESETS[preset]["split"]
    parts = given.get("parts") or (own.get("parts") if folds in (None, 1) else None)
    rest = {name: value for name, value in given.items() if name != "parts"}
    if parts != PUBLISHED:
        shared = {name: value for name, value in own.items() if name != "valid_from"}  # what that says is of published parts
        usual = {**DATA_PRESETS["clean"]["split"], **shared} if "parts" in own else dict(own)
        usual.pop("parts", None)
        return {**usual, **({} if parts in (None, "folds") else {"parts": parts}), **rest}
    usual_from = own.get("valid_from", PUBLISHED) if "parts" in own else PUBLISHED
    if rest.get("valid") is None or (usual_from == JOINED and not rest["valid"]):
        rest = {"valid_from": usual_from, **rest}
    if rest.get("valid") is None:  # a published validation part where there is one, else a share; none where the parts are joined
        share = own.get("valid") or DATA_PRESETS["clean"]["split"]["valid"]
        rest["valid"] = 0.0 if rest["valid_from"] == JOINED else share
    return {"parts": parts, "valid_from": "train", "order": 1, **rest}


def split_problems(split: Mapping[str, Any], folds: int | None) -> list[str]:
    """Say what is wrong with the switches of a split."""
    published = split.get("parts") == PUBLISHED
    known = ["parts", "valid", "valid_from", "order", "seed", *([] if published else ["keep_duplicates_together"])]
    problems = [registry.unknown("switch of the split", name, known) for name in split if name not in known]
    if split.get("parts", PUBLISHED) != PUBLISHED:
        problems.append(f"split.parts: expected 'published', or 'folds', but got {split['parts']!r}")
    elif published and split.get("valid_from") not in (PUBLISHED, JOINED, "train"):
        problems.append(
            f"split.valid_from: expected 'published', 'joined' or 'train' where the parts are published, but got {split['valid_from']!r}"
        )
    elif published and split.get("valid_from") == JOINED and split.get("valid"):
        problems.append(
            f"split.valid: expected 0 with split.valid_from=joined, which trains on all rows but the test's, not {split['valid']!r}"
        )
    if folds is not None and (folds == 1) != published:
        wanted = "1, where the parts are the published ones" if published else "at least 2, or 1 with split={'parts': 'published'}"
        problems.append(f"folds: expected {wanted}, but got {folds}")
    return problems

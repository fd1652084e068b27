"""The scikit-learn face of polytag."""

from polytag.estimators.deep import DeepMultiLabelClassifier

__all__ = ["DeepMultiLabelClassifier"]

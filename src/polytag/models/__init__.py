"""Deep multi-label models, usable in any PyTorch loop."""

from polytag.models.base import MultiLabelModel, Objective, Preset
from polytag.models.bpmll import BPMLL
from polytag.models.c2ae import C2AE
from polytag.models.chmcnn import CHMCNN
from polytag.models.clif import CLIF
from polytag.models.cnn import CNN
from polytag.models.ctran import CTran
from polytag.models.dela import DELA
from polytag.models.enhanced import Enhanced
from polytag.models.hcal import HCAL
from polytag.models.hmcn import HMCN
from polytag.models.hotvae import HOTVAE
from polytag.models.hybrid import HybridCNNAttention
from polytag.models.image_encoder import ImageEncoder
from polytag.models.lamp import LaMP
from polytag.models.linear import Linear
from polytag.models.local import Local
from polytag.models.ml_decoder import MLDecoder
from polytag.models.mlp import MLP
from polytag.models.mpvae import MPVAE
from polytag.models.paca import PACA
from polytag.models.query2label import Query2Label
from polytag.models.rnn import RNN
from polytag.models.role import ROLE
from polytag.models.small_cnn import SmallCNN
from polytag.models.tabm import TabM
from polytag.models.text_encoder import TextEncoder
from polytag.models.xmlcnn import XMLCNN

__all__ = [
    "BPMLL",
    "C2AE",
    "CHMCNN",
    "CLIF",
    "CNN",
    "DELA",
    "HCAL",
    "HMCN",
    "HOTVAE",
    "MLP",
    "MPVAE",
    "PACA",
    "RNN",
    "ROLE",
    "XMLCNN",
    "CTran",
    "Enhanced",
    "HybridCNNAttention",
    "ImageEncoder",
    "LaMP",
    "Linear",
    "Local",
    "MLDecoder",
    "MultiLabelModel",
    "Objective",
    "Preset",
    "Query2Label",
    "SmallCNN",
    "TabM",
    "TextEncoder",
]

"""Everything one run is told: the model, the data set and the training."""

from caffdet_cli.settings.base import Settings
from caffdet_cli.settings.data import Data
from caffdet_cli.settings.model import Model
from caffdet_cli.settings.train import Train


class Config(Settings):
    """A whole run. A TOML file may hold any part of it."""

    model: Model = Model()
    data: Data = Data()
    train: Train = Train()

"""Settings: YAML, .env, strategy.env, environment and command line become one frozen object."""

from quant_trading.settings.banner import banner, mask_account
from quant_trading.settings.choice import build_active, build_chosen, build_static
from quant_trading.settings.loader import ENV_NAMES, load_settings
from quant_trading.settings.model import DEFAULT_UNIVERSE, Settings

__all__ = [
    "DEFAULT_UNIVERSE",
    "ENV_NAMES",
    "Settings",
    "banner",
    "build_active",
    "build_chosen",
    "build_static",
    "load_settings",
    "mask_account",
]

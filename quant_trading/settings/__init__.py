"""Settings: YAML, .env, strategy.env, environment and command line become one frozen object.

The names below are looked up when they are first used: pydantic and the YAML reader take a tenth of a second, which a
tool that reads strategy.env alone (`settings.active`) need not wait for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quant_trading.settings.banner_lines import banner, mask_account
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


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from quant_trading.settings import banner_lines, choice, loader, model

    for module in (model, loader, choice, banner_lines):
        if hasattr(module, name):
            return globals().setdefault(name, getattr(module, name))
    raise AssertionError(name)

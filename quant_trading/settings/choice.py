"""From the configured name and parameters to the strategy object."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from quant_trading.domain.errors import ConfigError
from quant_trading.settings.scalars import is_secret, show

if TYPE_CHECKING:  # strategies import numpy and the model pydantic; choosing needs neither
    from quant_trading.settings.model import Settings
    from quant_trading.strategy.base import Strategy

__all__ = ["build", "build_active", "build_chosen", "build_static", "own_parameters"]


def build_chosen(settings: "Settings") -> "Strategy":
    """Return the strategy of the YAML file; its module must have been loaded (`plugins`).

    Raises:
        ConfigError: in one line with file, key and cure when the name or a parameter is refused.
    """
    choice = settings.strategy
    if choice.name == "STATIC":
        return build_static(settings)
    source = settings.sources.get("strategy.name", settings.config_name)
    return build(choice.name, choice.params, source, lambda name: f"strategy.params.{name}", settings.sources)


def build_static(settings: "Settings") -> "Strategy":
    """Return STATIC with the configured weights."""
    place = settings.config_name
    return build("STATIC", {"weights": dict(settings.strategy.weights)}, place, lambda name: f"strategy.{name}", {})


def build_active(settings: "Settings") -> "Strategy":
    """Return the strategy of strategy.env, for the intraday tools; its module must have been loaded.

    Parameters of another strategy whose name begins alike (REVERSAL and REVERSAL_RANK) are left to that one.

    Raises:
        ConfigError: in one line with file, variable and cure when the name or a parameter is refused.
    """
    choice = settings.active_strategy
    own = own_parameters(choice.name, choice.params)
    source = settings.active_sources.get("ACTIVE_STRATEGY", "default")
    return build(choice.name, own, source, lambda name: f"{choice.name}_{name.upper()}", settings.active_sources)


def own_parameters(name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return `params` without those of another registered strategy whose name begins with `name` and _."""
    from quant_trading.strategy.base import registered_names

    longer = [n[len(name) + 1 :].lower() for n in registered_names() if n.startswith(f"{name}_")]
    return {n: v for n, v in params.items() if not any(n.startswith(f"{other}_") for other in longer)}


def build(
    name: str, params: Mapping[str, Any], source: str, label: Callable[[str], str], sources: Mapping[str, str]
) -> "Strategy":
    """Return the strategy `name`; what it refuses is told by the place and label of the value.

    Args:
        source: place of the name.
        label: from a field of the strategy to the key or variable that sets it.
        sources: place of each key or variable.

    Raises:
        ConfigError: in one line.
    """
    from quant_trading.strategy.base import build_strategy

    try:
        return build_strategy(name, params)
    except ConfigError as error:
        text = str(error)
        # The strategy names the field it refuses; the person looks for the key or variable that set it.
        for field, value in params.items():
            if f"{field} = " in text or repr(field) in text:
                place = sources.get(label(field), source)
                shown = "***" if is_secret(field) else show(value)
                raise ConfigError(f"{place}: {label(field)} = {shown} is refused: {text}") from None
        raise ConfigError(f"{source}: {text}") from None

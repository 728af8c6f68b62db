"""The colours of the report, light and dark, as CSS variables; chosen to differ for colour-blind readers too.

Gain and loss are a bluish green and a vermilion (Okabe and Ito's pair), never shown without their sign.
Every text colour has a contrast of at least 4.5 on what it stands on; the tests compute it from this table.
"""

__all__ = ["TEXT_ON", "TOKENS", "stylesheet_variables"]

# name -> (light, dark)
TOKENS: dict[str, tuple[str, str]] = {
    "page": ("#ffffff", "#0f1419"),
    "panel": ("#f5f7f9", "#171d24"),
    "ink": ("#15191f", "#e7eaee"),
    "muted": ("#5a6370", "#9ba5b1"),
    "grid": ("#e6e9ed", "#242b34"),
    "rule": ("#cfd5dc", "#37414c"),
    "accent": ("#0b559f", "#6cb4ff"),
    "wash": ("#dbe8f5", "#16304a"),
    "bench": ("#68707b", "#949eaa"),
    "second": ("#a85400", "#f5a54a"),
    "gain": ("#006b4a", "#4ccb9c"),
    "loss": ("#b02e14", "#ff8d70"),
    "loss-wash": ("#f7ddd5", "#43201a"),
    # trade markers: long in green, out in blue; short in red, out in orange
    "long-entry": ("#008055", "#3fce94"),
    "long-exit": ("#0b62c4", "#6cb4ff"),
    "short-entry": ("#c42b1c", "#ff7a66"),
    "short-exit": ("#d97706", "#ffb454"),
    # the steps of a return, from none to large
    "p1": ("#e6f4ee", "#14261f"),
    "p2": ("#c6e7d8", "#173a2e"),
    "p3": ("#98d3b9", "#1a5140"),
    "p4": ("#5fb894", "#1e6b53"),
    "p5": ("#0a7352", "#57cfa2"),
    "n1": ("#fdeee8", "#2b1b17"),
    "n2": ("#fad6c8", "#46241b"),
    "n3": ("#f4b198", "#66301f"),
    "n4": ("#e98862", "#8b3e26"),
    "n5": ("#b03a18", "#ff9d7d"),
    # a scale from low to high (cividis), the same in both themes
    "s0": ("#00224e", "#00224e"),
    "s1": ("#123570", "#123570"),
    "s2": ("#3b496c", "#3b496c"),
    "s3": ("#575d6d", "#575d6d"),
    "s4": ("#6c6e72", "#6c6e72"),
    "s5": ("#8f8b78", "#8f8b78"),
    "s6": ("#a59c74", "#a59c74"),
    "s7": ("#c3b369", "#c3b369"),
    "s8": ("#e1cc55", "#e1cc55"),
    "s9": ("#fee838", "#fee838"),
    # what is written on a strong step
    "on-step": ("#15191f", "#e7eaee"),
    "on-strong": ("#ffffff", "#0f1419"),
    "on-low": ("#ffffff", "#ffffff"),
    "on-high": ("#15191f", "#15191f"),
    "live": ("#a4161a", "#ff8a80"),
    "on-live": ("#ffffff", "#0f1419"),
}

# text -> what it is written on
TEXT_ON: tuple[tuple[str, str], ...] = (
    *((text, ground) for text in ("ink", "muted", "accent", "second", "gain", "loss", "bench")
      for ground in ("page", "panel")),
    *(("on-step", step) for step in ("p1", "p2", "p3", "p4", "n1", "n2", "n3", "n4")),
    *(("on-strong", step) for step in ("p5", "n5")),
    *(("on-low", f"s{i}") for i in range(5)),
    *(("on-high", f"s{i}") for i in range(5, 10)),
    ("on-live", "live"), ("ink", "loss-wash"), ("ink", "wash"),
)  # fmt: skip


def stylesheet_variables() -> str:
    """Return the CSS that defines the variables: light for everybody, dark on screens that ask for it."""
    light = "".join(f"--{name}:{pair[0]};" for name, pair in TOKENS.items())
    dark = "".join(f"--{name}:{pair[1]};" for name, pair in TOKENS.items() if pair[0] != pair[1])
    return (
        f":root{{color-scheme:light;{light}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root:not([data-theme=light]){{color-scheme:dark;{dark}}}}}"
        f"@media screen{{:root[data-theme=dark]{{color-scheme:dark;{dark}}}}}"
    )

"""What browsers and programs call themselves, in the few words that people know them by."""

import re

# In this order, since each says that it is several of those that come after it.
_PROGRAMS = (
    ("Edge", r"\bEdgA?/|\bEdgiOS/"),
    ("Opera", r"\bOPR/"),
    ("Samsung Internet", r"\bSamsungBrowser/"),
    ("Firefox", r"\bFirefox/|\bFxiOS/"),
    ("Chrome", r"\bChrome/|\bCriOS/|\bChromium/|\bHeadlessChrome/"),
    ("Safari", r"\bVersion/[\d.]+ .*\bSafari/"),
    ("curl", r"^curl/"),
)
_SYSTEMS = (
    ("iPhone", r"\biPhone\b"),
    ("iPad", r"\biPad\b"),
    ("Android", r"\bAndroid\b"),
    ("ChromeOS", r"\bCrOS\b"),
    ("Windows", r"\bWindows\b"),
    ("a Mac", r"\bMacintosh\b"),
    ("Linux", r"\bLinux\b|\bX11\b"),
)


def read_agent(agent: str) -> str:
    """A User-Agent header as people read it: Firefox on Linux. What is not known is said to be so."""
    program = next((name for name, pattern in _PROGRAMS if re.search(pattern, agent)), None)
    system = next((name for name, pattern in _SYSTEMS if re.search(pattern, agent)), None)
    if program is None and agent and system is None:
        return agent.partition("/")[0][:40] or "Something unnamed"
    return f"{program or 'Some browser'} on {system}" if system else program or "Something unnamed"

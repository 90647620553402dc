"""The pages that the balancer answers with itself: short, without external parts, safe between double quotes in nginx."""

PAGE = (
    "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
    "<meta name='color-scheme' content='light dark'><title>{title}</title><style>"
    "body{{font:1.1rem/1.6 system-ui,sans-serif;max-width:34rem;margin:18vh auto 0;padding:0 1.5rem}}"
    "h1{{font-size:1.6rem;margin:0 0 .5rem}}p{{margin:.5rem 0}}small{{opacity:.6}}"
    "</style></head><body><h1>{title}</h1><p>{text}</p><p><small>{status}</small></p></body></html>\\n"
)
TEXTS = {
    404: ("There is no such site here", "Nothing is served under this address. Is its name spelled right?"),
    503: (
        "This service is resting",
        "None of its instances is healthy right now. It comes back by itself: try again in a few seconds.",
    ),
    502: (
        "This service did not answer",
        "Its instances could not be reached, or took too long. Try again in a few seconds.",
    ),
}
NAMES = {404: "404 Not Found", 503: "503 Service Unavailable", 502: "502 Bad Gateway or 504 Gateway Timeout"}


def pages() -> str:
    """A variable for each page: it stands once in the configuration, however many services there are."""
    return "".join(
        f'map "" $discovery_page_{status} {{ default "{PAGE.format(title=title, text=text, status=NAMES[status])}"; }}\n'
        for status, (title, text) in TEXTS.items()
    )

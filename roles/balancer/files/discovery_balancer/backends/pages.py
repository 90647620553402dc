"""The pages that every backend answers with itself: short, without external parts, without double quotes, "$" and backslashes."""

RETRY_SECONDS = 5
PAGE = (
    "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' content='width=device-width'>{head}"
    "<meta name='color-scheme' content='light dark'><title>{title}</title><style>"
    "body{{font:1.1rem/1.6 system-ui,sans-serif;max-width:34rem;margin:18vh auto 0;padding:0 1.5rem}}"
    "h1{{font-size:1.6rem;margin:0 0 .5rem}}p{{margin:.5rem 0}}small{{opacity:.6}}"
    "</style></head><body><h1>{title}</h1><p>{text}</p><p><small>{status}</small></p></body></html>"
)
TEXTS = {
    401: ("This service asks who you are", "Your name and password are not those of somebody who may use it."),
    403: (
        "You have no access to this service",
        "It may not be asked from the network that you are in, or not without a certificate.",
    ),
    404: ("There is no such site here", "Nothing is served under this address. Is its name spelled right?"),
    503: (
        "This service is unavailable",
        f"None of its instances is healthy right now. This page retries every {RETRY_SECONDS} seconds.",
    ),
    429: ("Too many requests", "Too many requests come from your address at one time. Try again in a few seconds."),
    431: ("This request is too large", "Its header, such as the cookies of this site, is longer than is allowed here."),
    "maintenance": ("This service is being maintained", "It will be back soon. This page looks for it by itself."),
    502: (
        "This service did not answer",
        "Its instances could not be reached, or took too long. Try again in a few seconds.",
    ),
}
NAMES = {
    401: "401 Unauthorized",
    403: "403 Forbidden",
    404: "404 Not Found", 429: "429 Too Many Requests", 431: "431 Request Header Fields Too Large",
    "maintenance": "503 Service Unavailable",
    502: "502 Bad Gateway or 504 Gateway Timeout", 503: "503 Service Unavailable",
}  # fmt: skip
# Only here: behind a 502 there may be a form that was sent.
HEADS = dict.fromkeys((503, "maintenance"), f"<meta http-equiv='refresh' content='{RETRY_SECONDS}'>")


def page(status, own) -> str:
    """The HTML for a status of TEXTS, or about maintenance, with the end of its last line: one line, or what a site has instead.

    :param own: {status as text: HTML}, of the site
    """
    if str(status) in own:
        return own[str(status)].rstrip("\n") + "\n"
    title, text = TEXTS[status]
    return PAGE.format(head=HEADS.get(status, ""), title=title, text=text, status=NAMES[status]) + "\n"

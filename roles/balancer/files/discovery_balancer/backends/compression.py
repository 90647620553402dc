"""Types of answers that every backend compresses, where a service or the site wants it: text, which becomes much shorter.

No events (text/event-stream), which are to arrive at once, and nothing that is compressed already, such as pictures.
"""

TYPES = (
    "text/html", "text/plain", "text/css", "text/csv", "text/javascript", "text/xml", "application/javascript",
    "application/json", "application/manifest+json", "application/xml", "application/xhtml+xml", "application/atom+xml",
    "application/rss+xml", "image/svg+xml",
)  # fmt: skip

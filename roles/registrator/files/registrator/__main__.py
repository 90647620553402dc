"""Start the registrator: python3 -m registrator [flags] consul-tls://127.0.0.1:8501"""

import os
import sys

from .agent import Agent
from .alive import DIRECTORIES, VARIABLE, Alive
from .dockerd import Dockerd
from .log import log
from .loop import Loop
from .options import UsageError, dockerd_address, parse


def main() -> int:
    try:
        options = parse(sys.argv[1:])
        address = dockerd_address(os.environ, os.path.exists)
        dockerd = Dockerd(address, with_images=not options.image_labels)
    except UsageError as error:
        print(f"registrator: {error}", file=sys.stderr)
        return 2
    if options.ttl or options.ttl_refresh:
        log("warning", reason="-ttl and -ttl-refresh have no effect: health is the container's state in dockerd")
    alive = Alive(os.environ.get(VARIABLE, ""), mounts=(address.removeprefix("unix://"), *DIRECTORIES))
    return Loop(options, dockerd, Agent(options.uri), host=os.uname().nodename, alive=alive).run()


sys.exit(main())

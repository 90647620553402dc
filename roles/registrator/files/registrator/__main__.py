"""Start the registrator: python3 -m registrator [flags] consul://127.0.0.1:8500"""

import os
import sys

from .agent import Agent
from .engine import Engine
from .log import log
from .loop import Loop
from .options import UsageError, engine_address, parse


def main() -> int:
    try:
        options = parse(sys.argv[1:])
        engine = Engine(engine_address(os.environ, os.path.exists))
    except UsageError as error:
        print(f"registrator: {error}", file=sys.stderr)
        return 2
    if options.ttl or options.ttl_refresh:
        log("warning", reason="-ttl and -ttl-refresh have no effect: health follows the engine's state")
    return Loop(options, engine, Agent(options.uri), host=os.uname().nodename).run()


sys.exit(main())

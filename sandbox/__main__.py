"""The sandbox as a process: ``python -m sandbox``.

One line with both URLs goes to standard output once both really answer; SIGTERM and SIGINT end it with status 0.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from dataclasses import fields
from pathlib import Path

from sandbox.server import Sandbox
from sandbox.switches import KeywordsAISwitches, LangdockSwitches, Switches

ABOUT = """\
Keywords AI and Langdock as one small HTTP server.

Keywords AI   GET /api/users/    POST or GET /api/users/list/
Langdock      POST /export/{users,agents,assistants,api-keys,projects,models,workflows}[/csv|/json]
              and the same under /api/public, as on a dedicated deployment
Control       GET /healthz (both ports)    GET /_sandbox/requests    POST /_sandbox/clear
"""

GRAMMAR = """\
API keys
  Authorization: Bearer sk-<account>[;switch=value...]        for example  sk-acme;users=250;past_end=404

  Any key that begins with sk- is valid, and any account exists. The data depend on the seed, the account, the stream
  and the day, and on nothing else. The switches decide how the vendor behaves; counters ("the first N requests") are
  kept for each key, as written, until the server ends or POST /_sandbox/clear. Any other key gets 401; an unknown
  switch or value gets 400 and a sentence that names it.
"""

EXAMPLES = """\
Examples
  curl -H 'Authorization: Bearer sk-acme;users=250' \\
    'http://127.0.0.1:8090/api/users/?page=1&page_size=100&summary_type=daily&date=2026-11-20'

  curl -H 'Authorization: Bearer sk-acme;byok=1' -H 'Content-Type: application/json' \\
    -d '{"from":{"date":"2026-11-20T00:00:00.000Z","timezone":"Europe/Berlin"},
         "to":{"date":"2026-11-20T23:59:59.999Z","timezone":"Europe/Berlin"},"group_by":"model"}' \\
    'http://127.0.0.1:8090/export/api-keys'
"""


def describe_switches(kind: type[Switches]) -> str:
    """The table of one vendor's own switches, or of the common ones."""
    inherited = {field.name for field in fields(Switches)} if kind is not Switches else set()
    lines = [f"Switches of {kind.vendor} (the default in brackets)"]
    for field in fields(kind):
        if field.name in inherited:
            continue
        default = int(field.default) if isinstance(field.default, bool) else field.default
        values = "|".join(field.metadata["choices"]) or {"bool": "0|1", "str": "text"}.get(str(field.type), "N")
        shown = "" if default in ("", None) else f"  [{default}]"
        lines += [f"  {field.name}={values}{shown}", f"      {field.metadata['text']}"]
    return "\n".join(lines) + "\n"


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    tables = "\n".join(map(describe_switches, (Switches, KeywordsAISwitches, LangdockSwitches)))
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description=ABOUT,
        epilog=f"{GRAMMAR}\n{EXAMPLES}\n{tables}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=8090, help="API port, 0: a free one (default %(default)s)")
    parser.add_argument("--download-port", type=int, default=8091, help="download port (default %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="what all data are drawn from (default %(default)s)")
    parser.add_argument("--public-host", help="host name in signed URLs, such as a compose service (default: --host)")
    parser.add_argument("--download-public-url", help="origin of the signed URLs (default: from --public-host)")
    parser.add_argument("--signing-secret", help="what URLs are signed with (default: random)")
    parser.add_argument("--ready-file", type=Path, help="file to write both URLs to, as JSON, once both answer")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run until a signal."""
    options = vars(build_parser().parse_args(arguments))
    ready_file: Path | None = options.pop("ready_file")
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    try:
        sandbox = Sandbox(**options)
        sandbox.start()
    except OSError as error:
        print(f"The sandbox cannot listen: {error}", file=sys.stderr)
        return 1
    print(f"sandbox: API {sandbox.url}  downloads {sandbox.download_url}", flush=True)
    if ready_file:
        ready_file.write_text(json.dumps({"url": sandbox.url, "download_url": sandbox.download_url}))
    done.wait()
    sandbox.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

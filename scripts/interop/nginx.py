"""`loadline serve` behind nginx, which keeps its connections to it: over HTTP/1.1, a unix socket, HTTP/2 and TLS every request
must complete with the same tokens; answers that the proxy compresses are refused."""

import subprocess
from contextlib import contextmanager

from proxies import certificate
from servers import free_port, running

DEBIAN = ("nginx-light", "openssl")
REQUESTS = 200

CONFIG = """
daemon off; worker_processes 1; pid nginx.pid; error_log error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  client_max_body_size 64m; keepalive_requests 100000; http2_max_concurrent_streams 16;
  upstream llm {{ server {upstream}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{tls} ssl http2;
    listen 127.0.0.1:{clear};
    listen 127.0.0.1:{h2c} http2;
    listen unix:{folder}/nginx.sock;
    ssl_certificate cert.pem; ssl_certificate_key key.pem;
    location / {{
      proxy_pass http://llm; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_request_buffering off; gzip off;
    }}
    location /squeezed/ {{
      proxy_pass http://llm/; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
      gzip on; gzip_types text/event-stream; gzip_min_length 0;
    }}
  }}
}}
"""


@contextmanager
def serve(loadline, folder, *arguments):
    """`loadline serve` on a free port; gives HOST:PORT."""
    log = folder / "serve.log"

    def ready():
        return "http://" in log.read_text()

    with running([loadline.binary, "serve", "--port", "0", *arguments], log, ready):
        yield log.read_text().split("http://")[1].split(";")[0].split()[0].strip("/")


def check(checks, loadline, folder):
    certificate(folder)
    with serve(loadline, folder, "--speedup", "20") as upstream:
        tls, clear, h2c = free_port(), free_port(), free_port()
        (folder / "nginx.conf").write_text(CONFIG.format(upstream=upstream, tls=tls, clear=clear, h2c=h2c, folder=folder))
        with running(["nginx", "-p", folder, "-c", "nginx.conf"], folder / "nginx.log", (folder / "nginx.sock").exists):
            ways(checks, loadline, folder, upstream, tls, clear, h2c)
        log = (folder / "error.log").read_text()
        checks.equal("nginx has no complaint", log, "")


def ways(checks, loadline, folder, upstream, tls, clear, h2c):
    """Each way to the server, direct and through the proxy."""
    asked = ["--isl", 200, "--osl", 20, "--concurrency", 32, "--request-count", REQUESTS]
    ca = ["--tls-ca-file", folder / "cert.pem"]
    tokens = {}
    for way, url, arguments in (
        ("direct", f"http://{upstream}", []),
        ("HTTP/1.1", f"http://127.0.0.1:{clear}", []),
        ("HTTP/1.1 over a unix socket", f"unix:{folder}/nginx.sock", []),
        ("h2c", f"http://127.0.0.1:{h2c}", ["--http-version", "2"]),
        ("h2 over TLS", f"https://localhost:{tls}", ca),
        ("HTTP/1.1 over TLS", f"https://localhost:{tls}", ["--http-version", "1.1", *ca]),
        ("h2 over TLS, from two addresses", f"https://127.0.0.1:{tls}",
         ["--tls-insecure", "--local-address", "127.0.0.2,127.0.0.3"]),
    ):
        run = loadline.profile(url, *asked, *arguments, model="Qwen/Qwen3-32B")
        checks.equal(f"{way}: all completed", run.outcomes(), {"completed": REQUESTS})
        checks.equal(f"{way}: protocol", run.protocol, "h2" if "h2" in way else "http/1.1")
        if "h2" in way:
            # nginx allows 16 streams on a connection.
            checks.that(f"{way}: streams share connections", run.connections < REQUESTS, run.connections)
        tokens[way] = run.counts["tokens_recorded"]
    checks.that("all ways give the same token rows", len(set(tokens.values())) == 1, tokens["direct"])
    run = loadline.profile(f"http://127.0.0.1:{clear}/squeezed", *asked, "-H", "Accept-Encoding:gzip", model="Qwen/Qwen3-32B")
    checks.equal("compressed by the proxy: all refused", run.counts["failed"], REQUESTS)

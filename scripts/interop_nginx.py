"""Profiles `loadline serve` through nginx over HTTP/1.1, HTTP/2 and TLS: every request must complete with the same tokens.

Usage: interop_nginx.py LOADLINE. Needs nginx and openssl. Starts what it needs on free ports, and ends it.
"""

import json
import pathlib
import socket
import subprocess
import sys
import tempfile

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
    listen unix:{directory}/nginx.sock;
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


def free_ports(n):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def profile(loadline, run, *arguments):
    """Runs it; gives its manifest."""
    line = [loadline, "profile", "--model", "Qwen/Qwen3-32B", "--streaming", "--isl", "200", "--osl", "20", "--random-seed", "7",
            "--concurrency", "32", "--request-count", str(REQUESTS), "--artifact-dir", str(run), *arguments]
    ran = subprocess.run(line, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return json.loads((run / "run.json").read_text())


def check(loadline, directory, upstream, nginx_ports):
    tls, clear, h2c = nginx_ports
    ca = ["--tls-ca-file", str(directory / "cert.pem")]
    ways = {
        "direct": ["--url", f"http://{upstream}"],
        "HTTP/1.1": ["--url", f"http://127.0.0.1:{clear}"],
        "HTTP/1.1 over a unix socket": ["--url", f"unix:{directory}/nginx.sock"],
        "h2c": ["--url", f"http://127.0.0.1:{h2c}", "--http-version", "2"],
        "h2 over TLS": ["--url", f"https://localhost:{tls}", *ca],
        "HTTP/1.1 over TLS": ["--url", f"https://localhost:{tls}", "--http-version", "1.1", *ca],
        "h2 over TLS, from two addresses": ["--url", f"https://127.0.0.1:{tls}", "--tls-insecure", "--local-address", "127.0.0.2,127.0.0.3"],
    }
    tokens = set()
    for name, arguments in ways.items():
        manifest = profile(loadline, directory / "run", *arguments)
        counts, protocol = manifest["counts"], manifest["config"]["network"]["protocol"]
        connections = sum(w["connections"] for w in manifest["workers"])
        print(f"{name}: {protocol}, {counts['completed']} of {counts['scheduled']} completed, "
              f"{counts['tokens_recorded']} token rows, {connections} connections")
        assert counts["completed"] == counts["scheduled"] == REQUESTS, counts
        assert protocol == ("h2" if "h2" in name else "http/1.1"), protocol
        # nginx allows 16 streams on a connection.
        assert protocol != "h2" or connections < REQUESTS, "HTTP/2 shared no connection"
        tokens.add(counts["tokens_recorded"])
    assert len(tokens) == 1, f"the ways differ in tokens: {tokens}"

    squeezed = profile(loadline, directory / "run", "--url", f"http://127.0.0.1:{clear}/squeezed", "-H", "Accept-Encoding:gzip")
    assert squeezed["counts"]["failed"] == REQUESTS, squeezed["counts"]
    print(f"compressed by the proxy: {REQUESTS} of {REQUESTS} refused")


def main(loadline):
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                        "-addext", "basicConstraints=critical,CA:FALSE",
                        "-keyout", directory / "key.pem", "-out", directory / "cert.pem"], check=True, stderr=subprocess.DEVNULL)
        serve = subprocess.Popen([loadline, "serve", "--port", "0", "--speedup", "20"], stderr=subprocess.PIPE, text=True)
        nginx = None
        try:
            upstream = serve.stderr.readline().split("http://")[1].split(";")[0].strip("/")
            tls, clear, h2c = free_ports(3)
            config = directory / "nginx.conf"
            config.write_text(CONFIG.format(upstream=upstream, tls=tls, clear=clear, h2c=h2c, directory=directory))
            nginx = subprocess.Popen(["nginx", "-p", directory, "-c", config])
            while nginx.poll() is None and not (directory / "nginx.sock").exists():
                pass
            assert nginx.poll() is None, "nginx did not start"
            check(loadline, directory, upstream, (tls, clear, h2c))
            log = (directory / "error.log").read_text()
            assert not log, log
        finally:
            for process in filter(None, (nginx, serve)):
                process.terminate()
                process.wait()


if __name__ == "__main__":
    main(sys.argv[1])

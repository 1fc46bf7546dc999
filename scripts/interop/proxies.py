"""llama.cpp's server behind nginx, haproxy and caddy, each with HTTP/1.1 and HTTP/2, with TLS and without."""

import subprocess
from contextlib import contextmanager

import llama
from runs import whole
from servers import free_port, listens, running

DEBIAN = ("nginx-light", "haproxy", "caddy", "openssl")
REQUESTS = 60

# To a server that closes behind every stream, a proxy must not keep connections: nginx then answers half with a 502.
NGINX = """
daemon off; worker_processes 1; pid nginx.pid; error_log error.log warn;
events {{ worker_connections 1024; }}
http {{
  access_log off; http2_max_concurrent_streams 16;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {{
    listen 127.0.0.1:{tls} ssl http2; listen 127.0.0.1:{clear}; listen 127.0.0.1:{h2c} http2;
    ssl_certificate cert.pem; ssl_certificate_key key.pem;
    location / {{
      proxy_pass http://127.0.0.1:{upstream}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""

HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  option http-no-delay
frontend all
  bind 127.0.0.1:{tls} ssl crt {folder}/both.pem alpn h2,http/1.1
  bind 127.0.0.1:{clear}
  bind 127.0.0.1:{h2c} proto h2
  default_backend llm
backend llm
  option http-server-close
  http-reuse never
  server one 127.0.0.1:{upstream}
"""

CADDY = """
{{
  admin off
  auto_https off
  servers {{
    protocols h1 h2 h2c
  }}
}}
(llm) {{
  bind 127.0.0.1
  reverse_proxy 127.0.0.1:{upstream} {{
    flush_interval -1
    transport http {{
      keepalive off
    }}
  }}
}}
https://localhost:{tls} {{
  tls {folder}/cert.pem {folder}/key.pem
  import llm
}}
http://127.0.0.1:{clear} {{
  import llm
}}
http://127.0.0.1:{h2c} {{
  import llm
}}
"""

PROXIES = {
    "nginx": (NGINX, ["nginx", "-p", "{folder}", "-c", "nginx.conf"], ["nginx", "-v"]),
    "haproxy": (HAPROXY, ["haproxy", "-db", "-f", "{folder}/haproxy.conf"], ["haproxy", "-v"]),
    "caddy": (CADDY, ["caddy", "run", "--adapter", "caddyfile", "--config", "{folder}/caddy.conf"], ["caddy", "version"]),
}


def certificate(folder):
    """cert.pem and key.pem for localhost, and both in one file, as haproxy wants it."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", folder / "key.pem", "-out",
                    folder / "cert.pem"], check=True, stderr=subprocess.DEVNULL)
    (folder / "both.pem").write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())


@contextmanager
def proxy(name, folder, upstream):
    """A proxy before the port `upstream`. Gives the arguments of loadline for each way through it, by the way's name."""
    config, argv, _ = PROXIES[name]
    tls, clear, h2c = free_port(), free_port(), free_port()
    text = config.format(folder=folder, upstream=upstream, tls=tls, clear=clear, h2c=h2c)
    (folder / f"{name}.conf").write_text(text)
    argv = [word.format(folder=folder) for word in argv]
    env = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    ready = lambda: all(map(listens, (tls, clear, h2c)))  # noqa: E731
    with running(argv, folder / f"{name}.log", ready, env=env, cwd=folder):
        ca = ["--tls-ca-file", folder / "cert.pem"]
        yield {
            "HTTP/1.1": (f"http://127.0.0.1:{clear}", []),
            "h2c": (f"http://127.0.0.1:{h2c}", ["--http-version", "2"]),
            "HTTP/1.1 over TLS": (f"https://localhost:{tls}", ["--http-version", "1.1", *ca]),
            "h2 over TLS": (f"https://localhost:{tls}", ca),
        }


def version(name):
    """The first line of what the proxy says of itself."""
    said = subprocess.run(PROXIES[name][2], capture_output=True, text=True)
    return (said.stdout + said.stderr).splitlines()[0].strip()


def check(checks, loadline, folder):
    certificate(folder)
    with llama.server(folder) as (upstream, tokenizer):
        for name in PROXIES:
            print(f"      {name}: {version(name)}")
            with proxy(name, folder, upstream) as ways:
                for way, (url, arguments) in ways.items():
                    run = loadline.profile(url, *arguments, "--tokenizer", tokenizer, "--extra-inputs", "ignore_eos:true",
                                           "--isl", 60, "--osl", 20, "--concurrency", 6, "--request-count", REQUESTS)
                    what = f"{name}, {way}"
                    # Caddy before llama.cpp cuts some answers of a thousand short, for any client; it must be told so.
                    whole(checks, what, run, REQUESTS, cut_max=REQUESTS // 20 if name == "caddy" else 0)
                    checks.equal(f"{what}: protocol", run.protocol, "h2" if "h2" in way else "http/1.1")
                    checks.that(f"{what}: connections are used again", run.connections < REQUESTS, run.connections)
